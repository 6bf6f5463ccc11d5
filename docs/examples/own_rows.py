"""Write rows.csv: invented patients of four hospitals, with gaps and words, to follow docs/data.md with."""

import csv

import numpy as np

draw = np.random.default_rng(7)
with open("rows.csv", "w", newline="", encoding="utf-8") as file:
    lines = csv.writer(file)
    lines.writerow(["hospital", "patient", "age", "lactate", "ward", "died"])
    for site, (hospital, patients) in enumerate({"north": 220, "south": 150, "east": 90, "west": 60}.items()):
        for number in range(patients):
            age = int(np.clip(draw.normal(60 + 4 * site, 14), 18, 99))
            lactate = round(float(draw.gamma(2.0, 0.9)), 1)
            died = int(draw.random() < 1 / (1 + np.exp(-(0.05 * (age - 75) + 0.9 * (lactate - 2.5)))))
            ward = str(draw.choice(["surgery", "medicine", "icu"]))
            gap = draw.random() < 0.1 * site
            lines.writerow([hospital, f"{hospital}-{number}", age, "" if gap else lactate, ward, died])
