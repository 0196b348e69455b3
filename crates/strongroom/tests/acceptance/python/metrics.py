"""Reads a metrics page from standard input with Prometheus' own parser; prints every sample as one JSON object."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

samples = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
        name = f"{sample.name}{{{labels}}}"
        if name in samples:
            sys.exit(f"{name} stands twice")
        samples[name] = sample.value
json.dump(samples, sys.stdout)
