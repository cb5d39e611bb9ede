"""`make mutate`: the mutation score of the consent decision and the delivery machine, module by module.

Exits with 1 where a module scores under 90 %, or a mutant that no test notices is not in the reviewed list.
"""

from __future__ import annotations

import sys

from tests.mutation.equivalents import EQUIVALENT
from tests.mutation.run import Mutant, mutants
from tests.mutation.score import SCORE, score_of, survivors


def main() -> int:
    tried = mutants()
    unnoticed = survivors(tried, EQUIVALENT)
    for module in sorted({mutant.module for mutant in tried}):
        print(_line(module, [mutant for mutant in tried if mutant.module == module]))
    for mutant in unnoticed:
        print(f"\n{mutant.module}: {mutant.function}\n- {mutant.was}\n+ {mutant.became}")
    print(f"\n{len(tried)} mutants, {len(unnoticed)} of them neither found nor reviewed")
    return bool(unnoticed) or any(score_of(tried, EQUIVALENT, mutant.module) < SCORE for mutant in tried)


def _line(module: str, tried: list[Mutant]) -> str:
    found, unnoticed = sum(mutant.found for mutant in tried), survivors(tried, EQUIVALENT)
    equivalent = len(tried) - found - len(unnoticed)
    score = score_of(tried, EQUIVALENT, module)
    return f"{module:34} {len(tried):4} mutants {found:4} found {equivalent:3} equivalent {score:6.1%}"


if __name__ == "__main__":
    sys.exit(main())
