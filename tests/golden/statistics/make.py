"""Numbers of scipy 1.17.1 and numpy 2.4.6 for the tests of `engine/src/metrics/statistics/`.

Run in this folder; writes `statistics.json`. Wilcoxon's test is asked three ways: the exact
distribution without ties, all sign flips with ties, and the normal approximation with corrections
for ties and continuity, each with both rules for zeros. Bootstrap intervals are drawn by scipy from
200 000 samples, so theirs and ours differ by what chance leaves.
"""

import json

import numpy as np
from scipy import stats

rng = np.random.default_rng(6)


def numbers(n, shift, digits):
    return [float(x) for x in np.round(rng.normal(shift, 1.0, n), digits)]


def test(differences, rule, method, n):
    found = stats.wilcoxon(
        differences, zero_method=rule, method=method, correction=(method == "asymptotic")
    )
    return {"differences": differences, "rule": rule, "p": float(found.pvalue),
            "statistic": float(found.statistic), "exact": method != "asymptotic"}


tests = []
for n in (3, 5, 8, 13, 25, 50):
    tests.append(test(numbers(n, 0.4, 6), "wilcox", "exact", n))
for rule in ("wilcox", "pratt"):
    everything = stats.PermutationMethod(n_resamples=np.inf)
    for n in (5, 9, 13):
        differences = numbers(n, 0.5, 0)
        if sum(d != 0 for d in differences) >= 3:
            tests.append(test(differences, rule, everything, n))
    for n in (120, 260):
        tests.append(test(numbers(n, 0.15, 1), rule, "asymptotic", n))  # ties and zeros
    tests.append(test(numbers(90, 0.1, 9), rule, "asymptotic", 90))

intervals = []
for n, shift in ((8, 0.0), (40, 1.0), (260, -0.2)):
    values = numbers(n, shift, 6)
    found = stats.bootstrap((values,), np.mean, n_resamples=200_000, method="percentile",
                            random_state=1, batch=1000).confidence_interval
    intervals.append({"values": values, "low": float(found.low), "high": float(found.high),
                      "standard_error": float(np.std(values) / np.sqrt(n))})

with open("statistics.json", "w") as file:
    json.dump({"wilcoxon": tests, "bootstrap": intervals}, file, indent=1)
    file.write("\n")
