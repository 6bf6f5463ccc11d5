import numpy as np

from fedsec import Fault, LocalFederation, MeanSpec, Update, strategy

dropout = Fault("drop", phase="ShareInput", party=4)
federation = LocalFederation(strategy("shamir")(), hospitals=5, spec=MeanSpec(4.0, 100), faults=[dropout])

model = {"weights": np.zeros(3)}
trained = {h: np.array([0.1, 0.2, -0.3]) * h for h in range(1, 6)}  # after local training
updates = {h: Update({"weights": trained[h]}, metrics={"loss": 1 / h}, weight=20 * h) for h in trained}
mean = federation.mean(updates, reference=model)

rows = {h: 20 * h for h in sorted(mean.included)}
print("hospitals", *rows, "with", mean.weight, "rows, loss", round(mean.metrics["loss"], 4))
print("secure", mean.arrays["weights"].round(4))
print("plain ", np.average([trained[h] for h in rows], axis=0, weights=list(rows.values())).round(4))
for row in federation.ledger.rows:
    if row.stage == "train" and row.role == "hospital":
        print(f"{row.phase}: {row.replies} of {row.parties} answered")
