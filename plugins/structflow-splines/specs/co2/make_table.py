"""Writes co2.csv: monthly means of the carbon dioxide at Mauna Loa that statsmodels ships (public domain).

Weekly flask samples, March 1958 to December 2001, by Keeling and Whorf (Carbon Dioxide Information Analysis Center,
2004). Five months without a sample are left out. statsmodels is needed only to write the table again.
"""

from __future__ import annotations

from pathlib import Path

from statsmodels.datasets import co2


def main() -> None:
    """Take the mean of every month and write the table beside this file."""
    monthly = co2.load_pandas().data["co2"].resample("MS").mean().dropna()
    rows = ((date.year + (date.month - 0.5) / 12, date.month, value) for date, value in monthly.items())
    lines = ["year,month,co2", *(f"{year:.3f},{month},{value:.2f}" for year, month, value in rows)]
    (Path(__file__).parent / "co2.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
