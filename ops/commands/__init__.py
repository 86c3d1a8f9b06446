"""The commands of `topup`, one file each, and the parts that only they have."""
