"""Names of metrics, as options have them."""

from typing import Literal

SetMetricName = Literal["fid", "kid", "precision-recall", "is"]
PairMetricName = Literal["clip-score", "lpips"]
MetricName = Literal["caption-match"] | SetMetricName | PairMetricName
