"""Pairs to begin with: the shortest bundled one of each kind, and the paper's three close pairs."""

from __future__ import annotations

from typing import NamedTuple

from normbt_lab.data.bundled import CATEGORIES, load_bundled_pairs
from normbt_lab.data.pairs import PreferencePair

_IS_PRIME = """isPrime := func(n int) bool {
  for i := 2; i < int(math.Pow(float64(n), 0.5)+1); i++ {
    if n%i == 0 {
      return false
    }
  }
  return true
}

largest := 1
for j := 2; j < n + 1; j++ {
  if n % j == 0 && isPrime(WHICH) {
    if j > largest {
      largest = j
    }
  }
}
return largest
}"""

_GRADES = (
    ("> 3.7", "A"),
    ("> 3.3", "A-"),
    ("> 3.0", "B+"),
    ("> 2.7", "B"),
    ("> 2.3", "B-"),
    ("> 2.0", "C+"),
    ("> 1.7", "C"),
    ("> 1.3", "C-"),
    ("> 1.0", "D+"),
    ("> 0.7", "D"),
    ("> 0.0", "D-"),
)

_BORED = """let t = 0
if (S[0] == 'WHICH' && S[1] == 'I') { t = 1 }
for (let i = 0; i < S.length; i++) {
  if (S[i] == '.' || S[i] == '!' || S[i] == '?') {
    if (S[i + 1] == '.' && S[i + 2] == 'I' && S[i + 3] == 'I') {
      t++
    }
  }
}
return t
}"""


class Example(NamedTuple):
    """The three texts of a pair."""

    prompt: str
    chosen: str
    rejected: str


def examples() -> dict[str, Example]:
    """Label -> pair: one of each kind of the bundled test pairs, on which no shipped model is trained, then Figure 7's.

    The paper prints the answers of its close pairs only; the prompts here say in our words what the functions are for.
    """
    shortest: dict[str, PreferencePair] = {}
    for category in CATEGORIES:
        for pair in sorted(load_bundled_pairs("test", category), key=_length):
            shortest.setdefault(f"{category}: {pair.row['subset']}", pair)
    bundled = {
        label: Example(str(pair.prompt), str(pair.chosen), str(pair.rejected)) for label, pair in shortest.items()
    }
    return bundled | figure_7()


def figure_7() -> dict[str, Example]:
    """Label -> pair: the paper's examples of pairs that lie close together, each a token or two apart."""
    prime = "Complete the body of a Go function that returns the largest prime factor of n."
    grades = "Complete the body of a Go function that turns grade point averages into letter grades."
    bored = "Complete the body of a JavaScript function that counts how many sentences of S begin with the word I."
    return {
        "paper, Figure 7: prime factor": Example(
            prime, _IS_PRIME.replace("WHICH", "j"), _IS_PRIME.replace("WHICH", "n")
        ),
        "paper, Figure 7: letter grades": Example(grades, _grades("E"), _grades("E+")),
        "paper, Figure 7: sentences": Example(bored, _BORED.replace("WHICH", "I"), _BORED.replace("WHICH", ".")),
    }


def _grades(default: str) -> str:
    cases = [("case gpa == 4.0:", "A+"), *((f"case gpa {bound}:", grade) for bound, grade in _GRADES)]
    lines = [f'  {case}\n    letter_grade = append(letter_grade, "{grade}")' for case, grade in cases]
    lines.append(f'  default:\n    letter_grade = append(letter_grade, "{default}")')
    head = "letter_grade := make([]string, 0, len(grades))\nfor _, gpa := range grades {\n  switch {\n"
    return head + "\n".join(lines) + "\n  }\n}\nreturn letter_grade\n}"


def _length(pair: PreferencePair) -> int:
    return len(f"{pair.prompt}{pair.chosen}{pair.rejected}")
