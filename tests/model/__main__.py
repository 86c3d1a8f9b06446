"""`python -m tests.model`: every search, in full; prints the tables of docs/reliability.md.

With names of rules, the stories of what happens without them. Exit status 1 where a search finds
what must not be, or a rule that nothing misses.
"""

import gc
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.model.lanes import Terms
from tests.model.rules import RULES, WORLDS, Rule
from tests.model.search import Found, search
from tests.model.world import Provider

PROCESSES = min(os.cpu_count() or 1, 4)


def kept(provider: Provider | Terms) -> Found:
    """Search a world with all rules on."""
    gc.disable()  # millions of values, and no cycle among them
    return search(provider)


def without(rule: Rule) -> Found:
    """Search the world in which the rule is missed."""
    gc.disable()
    return search(rule.caught, rule.off)


def main(names: list[str]) -> int:
    """Run what is asked for and print it."""
    rules = [rule for rule in RULES if not names or rule.name in names]
    unknown = set(names) - {rule.name for rule in RULES}
    if unknown:
        known = ", ".join(rule.name for rule in RULES)
        print(f"no rule is called {', '.join(sorted(unknown))}; for example one of: {known}")
        return 2
    with ProcessPoolExecutor(PROCESSES) as pool:
        fine = True if names else _print_worlds(list(pool.map(kept, WORLDS.values())))
        found = dict(zip(rules, pool.map(without, rules), strict=True))
    return 0 if _print_rules(found, stories=bool(names)) and fine else 1


def _print_worlds(found: list[Found]) -> bool:
    print("\n| all rules on | states | steps | broken |\n| --- | --- | --- | --- |")
    for name, each in zip(WORLDS, found, strict=True):
        print(f"| {name} | {each.states:,} | {each.transitions:,} | {each.broken or 'nothing'} |")
        _print_story(each)
    return not any(each.broken for each in found)


def _print_rules(found: dict[Rule, Found], *, stories: bool) -> bool:
    print(
        "\n| without the rule | § | at a provider | then | after |\n| --- | --- | --- | --- | --- |"
    )
    for rule, each in found.items():
        said = f"`{rule.name}`: {rule.says}" + (
            f" (with its net, `{rule.also_off[0]}`)" if rule.also_off else ""
        )
        broken = each.broken or "NOT MISSED"
        print(f"| {said} | {rule.section} | {rule.where} | {broken} | {len(each.story)} steps |")
        if stories or not each.broken:
            _print_story(each)
    return all(each.broken for each in found.values())


def _print_story(found: Found) -> None:
    for number, line in enumerate(found.story, 1):
        print(f"    {number:2}. {line}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
