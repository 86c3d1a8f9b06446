/* What the API's short words mean, for people. */

const REASONS = {
  lane_held: "its lane is held",
  provider_busy: "the provider asked for another try",
  not_sent: "the provider was not reached",
  no_answer: "the provider gave no answer",
  not_found_yet: "the provider does not know it yet",
  never_arrived: "the provider never had it",
  streams_lost: "the streams were lost",
  refused: "the provider refused",
  expired: "it expired, unsent",
  unreadable: "nobody could read it",
  resolved: "people decided",
};

export const reason = (word) => REASONS[word] ?? word;

/** `topup.settled` or `attempt_finished` as words. */
export const words = (name) => String(name).replace(/[._]/g, " ");
