"""Feeds a live HSM or vault with requests that schemathesis makes from the OpenAPI reference, valid and invalid ones.

    schema_fuzzing.py REFERENCE URL CA_FILE PHASE EXAMPLES

REFERENCE is `vectors/openapi`, URL the HSM's or vault's; PHASE is `coverage` (each constraint of the reference, kept and broken) or `fuzzing`
(at random, EXAMPLES requests for each operation). The token is read from the variable TOKEN, so that it stands in no command
line. Everything is written below the current folder. Checked are each answer's status (no 5xx), form and time. Prints how often each status was answered, as JSON on the last line.
Exit code: 0 nothing found, 1 something.
"""

import copy
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

DOCUMENTS = ["keys.json", "rbac.json", "settings.json", "securitydomain.json", "backuprestore.json",
             "preview/keys-2026-01-01-preview.json"]

# Names of keys that are there, so that requests reach what lies behind the look-up, and one that is not.
KEYS = ["fuzz-rsa", "fuzz-ec", "fuzz-oct", "fuzz-gone"]

# The newest stable version has every operation; an older and an unknown one are refused or served.
VERSIONS = ["2025-07-01", "7.6", "7.4"]

# Enumerations that the service goes beyond itself: rights of its built-in roles, scopes of keys.
OPEN = ["rbac_DataAction", "rbac_RoleScope"]

# Where the service differs from the reference (vectors/openapi/deviations.toml): a JWK as text, which both official clients need.
TEXT = [("securitydomain_TransferKey", "transfer_key")]


def merged(reference):
    """One document of all of them; the first that has an operation wins."""
    whole = {"openapi": "3.0.3", "info": {"title": "data plane", "version": "1"}, "paths": {}, "components": {"schemas": {}}}
    for name in DOCUMENTS:
        text = (reference / name).read_text()
        prefix = Path(name).stem.replace("-", "_") + "_"
        document = json.loads(text.replace('"#/components/schemas/', f'"#/components/schemas/{prefix}'))
        for schema, value in document["components"]["schemas"].items():
            if prefix + schema in OPEN:
                value.pop("enum")
            for member in [member for of, member in TEXT if of == prefix + schema]:
                value["properties"][member] = {"type": "string"}
            whole["components"]["schemas"][prefix + schema] = value
        for path, rows in document["paths"].items():
            for real_path in spelled(path):
                place = whole["paths"].setdefault(real_path, {})
                for method, row in rows.items():
                    place.setdefault(method, adapted(copy.deepcopy(row), real_path))
    return whole


def spelled(path):
    """A scope is no single segment, and a version may be missing: paths that say so."""
    if path.startswith("/{scope}/"):
        rest = path.removeprefix("/{scope}")
        return [rest, f"/keys{rest}", "/keys/{key-name}" + rest]
    if path.endswith("/{key-version}") or "/{key-version}/" in path:
        return [path, path.replace("/{key-version}", "")]
    return [path]


def adapted(row, path):
    """Parameters with values that mostly lead somewhere."""
    row["operationId"] = f"{row['operationId'].split(' ')[0]} {path}"
    parameters = [one for one in row.get("parameters", []) if one["in"] != "path" or f"{{{one['name']}}}" in path]
    if "{key-name}" in path and not any(one["name"] == "key-name" for one in parameters):
        parameters.append({"name": "key-name", "in": "path", "required": True, "schema": {"type": "string"}})
    for parameter in parameters:
        if parameter["name"] == "api-version":
            parameter["schema"] = {"type": "string", "enum": VERSIONS}
        elif parameter["name"] in ("key-name", "keyName"):
            parameter["schema"] = {"type": "string", "enum": KEYS}
        elif parameter["name"] == "key-version":
            parameter["schema"] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
    row["parameters"] = parameters
    return row


def main():
    reference, (url, ca_file, phase, examples) = Path(sys.argv[1]), sys.argv[2:6]
    document = merged(reference)
    Path("openapi.json").write_text(json.dumps(document))
    Path("schemathesis.toml").write_text('[headers]\nAuthorization = "Bearer ${TOKEN}"\n')
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run", "openapi.json",
        "--url", url, "--tls-verify", ca_file, "--max-examples", examples, "--seed", "1",
        "--phases", phase, "--mode", "all", "--continue-on-failure", "--no-shrink",
        "--suppress-health-check", "all", "--request-timeout", "20", "--max-response-time", "10",
        "--checks", "not_a_server_error,content_type_conformance,response_schema_conformance",
        "--report", "ndjson", "--report-ndjson-path", "events.ndjson", "--warnings", "off",
    ]
    environment = {"TOKEN": os.environ["TOKEN"], "PATH": os.environ["PATH"], "HOME": os.getcwd(), "NO_COLOR": "1"}
    result = subprocess.run(command, env=environment)
    print(json.dumps(statuses(Path("events.ndjson"))))
    return result.returncode


def statuses(path):
    """How often each status was answered, over all operations."""
    counts = Counter()

    def look(value):
        if isinstance(value, dict):
            if isinstance(value.get("status_code"), int) and "headers" in value:
                counts[str(value["status_code"])] += 1
            for one in value.values():
                look(one)
        elif isinstance(value, list):
            for one in value:
                look(one)

    for line in path.read_text().splitlines():
        look(json.loads(line))
    return counts


if __name__ == "__main__":
    sys.exit(main())
