"""The layouts that come with providers, each a TOML file under its provider's name."""
