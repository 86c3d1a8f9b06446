"""`topup doctor` compares what gateways take with what dispatchers can send to."""

from ops.checks.settings import check_offered

RELOADLY = {"RELOADLY_URL": "https://x", "RELOADLY_CLIENT_ID": "x", "RELOADLY_CLIENT_SECRET": "x"}


def test_a_provider_that_is_offered_without_a_lane_is_named() -> None:
    """Its topups would be taken, and wait until they expire."""
    (finding,) = check_offered({**RELOADLY, "PROVIDERS_OFFERED": "LATCOM,RELOADLY"})
    assert finding.found.startswith("PROVIDERS_OFFERED has LATCOM, of which no access is set")
    assert finding.remedy == "set the access, or PROVIDERS_OFFERED=RELOADLY"


def test_lanes_that_are_there_are_told() -> None:
    """And nothing is said where only one side is known."""
    (finding,) = check_offered({**RELOADLY, "PROVIDERS_OFFERED": "RELOADLY"})
    assert (finding.found, finding.remedy) == ("lanes for RELOADLY", None)
    assert not list(check_offered({"PROVIDERS_OFFERED": "LATCOM"}))
    assert not list(check_offered(RELOADLY))
