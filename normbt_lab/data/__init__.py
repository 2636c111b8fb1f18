"""Preference pairs: the formats read, the bundled pairs, the checks before training, token ids and batches.

pairs.py         a pair as a person reads it
rows.py          a file, folder or hub id -> numbered raw records
formats.py       a record in any of the known layouts -> a pair
readers.py       a source -> a stream of pairs
rejects.py       what was left out, and why
bundled.py       the pairs that come with the package; generator/ makes them
tokenization.py  a pair -> two sequences of token ids
margins.py       margins on another scale
checks.py        pairs -> the ones that can be trained on, and counts of all others
batches.py       token ids -> tensors, and where the rewards are read
"""
