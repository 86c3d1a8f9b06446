"""What should go wrong next at every wire, once or so many times."""

import msgspec


class Faults(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /faults`; counted down as they happen."""

    revoke_tokens: bool = False
    unauthorized: int = 0  # orders answered 401, whatever they bring
    failing_logins: int = 0  # logins answered 503

    def turns_order_away(self) -> bool:
        """Tell whether this order is to be answered 401."""
        self.unauthorized -= (happens := self.unauthorized > 0)
        return happens

    def fails_login(self) -> bool:
        """Tell whether this login is to be answered 503."""
        self.failing_logins -= (happens := self.failing_logins > 0)
        return happens
