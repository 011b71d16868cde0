"""Write predictions of a scikit-learn model on half of the wine data: what any framework could hand over."""

from pathlib import Path

import pandas as pd
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
CULTIVARS = ["barolo", "grignolino", "barbera"]
COLUMNS = ["alcohol", "hue"]


def main() -> None:
    """Fit on one half, predict the other."""
    data = load_wine(as_frame=True)
    train, test = train_test_split(data.frame, test_size=0.5, random_state=0, stratify=data.target)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(train[COLUMNS], train.target)
    shares = model.predict_proba(test[COLUMNS])
    table = pd.DataFrame(
        {
            "bottle": [f"bottle-{row:03d}" for row in test.index],
            "cultivar": [CULTIVARS[k] for k in test.target],
            "said": [CULTIVARS[k] for k in shares.argmax(axis=1)],
            "strength": ["strong" if value >= 13 else "light" for value in test.alcohol],
            **{f"p_{name}": shares[:, k].round(6) for k, name in enumerate(CULTIVARS)},
        }
    )
    table.to_csv(HERE / "predictions.csv", index=False)
    print(f"{len(table)} rows in {HERE.name}/predictions.csv")


if __name__ == "__main__":
    main()
