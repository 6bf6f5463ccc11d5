"""Writes rows.csv: invented patients of four hospitals, with gaps and words, to try one's own data with."""

import csv

import numpy as np

draw = np.random.default_rng(7)
with open("rows.csv", "w", newline="", encoding="utf-8") as file:
    lines = csv.writer(file)
    lines.writerow(["hospital", "patient", "age", "lactate", "ward", "died"])
    for place, (hospital, patients) in enumerate({"north": 220, "south": 150, "east": 90, "west": 60}.items()):
        for number in range(patients):
            age = int(np.clip(draw.normal(60 + 4 * place, 14), 18, 99))
            lactate = round(float(draw.gamma(2.0, 0.9)), 1)
            died = int(draw.random() < 1 / (1 + np.exp(-(0.05 * (age - 75) + 0.9 * (lactate - 2.5)))))
            ward = str(draw.choice(["surgery", "medicine", "icu"]))
            gap = draw.random() < 0.1 * place
            lines.writerow([hospital, f"{hospital}-{number}", age, "" if gap else lactate, ward, died])
