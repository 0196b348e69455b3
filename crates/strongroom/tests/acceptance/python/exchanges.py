"""Holds what the acceptance tests said on the wire against the OpenAPI reference.

    exchanges.py REFERENCE EXCHANGES [--complete RECORD]

REFERENCE is `vectors/openapi`; EXCHANGES a folder with a file for each test, a line of JSON for each request with its answer.
Checked is, for each exchange: a request that was accepted fits the reference; the answer has a status, a content type
and a body that the reference has for it, with no member it does not know. What differs on purpose is in `deviations.toml`
with its reason. With --complete every deviation must have been met, and every proof of RECORD: the one list may only shrink, the other only
grow.

Prints one line for each finding. Writes `proofs.json` beside the exchanges: which test used which operation through which client
under which api-version, with success. With --keep RECORD, and if there is nothing to find, these proofs are put into the record; together
with --complete, what the record has of the clients that took part gives way to them. Exit code: 0 all fits, 1 something does not.
"""

import json
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from jsonschema import Draft202012Validator

DATA_PLANE = ["keys.json", "rbac.json", "settings.json", "securitydomain.json", "backuprestore.json",
              "preview/keys-2026-01-01-preview.json"]
MANAGEMENT_PLANE = ["arm-keyvault.json"]

# Marks in the user agents of clients, the more telling ones first, with the name that is shown.
CLIENTS = [
    (r"AZURECLI/([\d.]+)", "az"),
    (r"azsdk-python-keyvault-keys/([\w.]+)", "Python azure-keyvault-keys"),
    (r"azsdk-python-keyvault-administration/([\w.]+)", "Python azure-keyvault-administration"),
    (r"azsdk-js-keyvault-keys/([\w.-]+)", "JavaScript @azure/keyvault-keys"),
    (r"azsdk-js-keyvault-admin\w*/([\w.-]+)", "JavaScript @azure/keyvault-admin"),
    (r"azsdk-rust-[\w-]*?keyvault_keys/([\w.-]+)", "Rust azure_security_keyvault_keys"),
    (r"azsdk-java-azure-security-keyvault-keys/([\w.-]+)", "Java azure-security-keyvault-keys"),
    (r"azsdk-go-azkeys/v?([\w.-]+)", "Go azkeys"),
    (r"azsdk-go-azadmin[\w/]*/v?([\w.-]+)", "Go azadmin"),
    (r"strongroom-acceptance-tests()", "plain HTTP"),
]


class Operation:
    """One operation of the reference."""

    def __init__(self, document, path, method, row):
        self.document, self.path, self.method = document, path, method
        self.responses = row["responses"]
        body = row.get("requestBody", {})
        self.request_schema = body.get("content", {}).get("application/json", {}).get("schema")
        self.request_required = body.get("required", False)
        self.query = [parameter for parameter in row.get("parameters", []) if parameter["in"] == "query"]
        self.literals = sum(not segment.startswith("{") for segment in path.split("/"))
        self.pattern = re.compile(self._pattern(path), re.IGNORECASE)

    @staticmethod
    def _pattern(path):
        pattern = ""
        for segment in path.strip("/").split("/"):
            if segment == "{key-version}":
                pattern += "(?:/[^/]+)?"
            elif segment == "{scope}":
                pattern += "(?:/keys(?:/[^/]+)?)?"
            elif segment.startswith("{"):
                pattern += "/[^/]+"
            else:
                pattern += "/" + re.escape(segment)
        return pattern + "$"


def load(folder, names):
    operations = []
    for name in names:
        document = json.loads((folder / name).read_text())
        for path, rows in document["paths"].items():
            for method, row in rows.items():
                # A status may be declared twice, joined; the first name is the operation's.
                operations.append(Operation(document, path, method.upper(), row))
    return operations


def find(operations, method, path):
    """The operation with the most literal segments; the first file wins."""
    path = re.sub("/+", "/", unquote(path)).rstrip("/") or "/"
    fitting = [one for one in operations if one.method == method and one.pattern.match(path)]
    return max(fitting, key=lambda one: one.literals, default=None)


def as_json_schema(schema, closed, schemas):
    """OpenAPI 3.0 as JSON Schema; a closed one knows all members."""
    if isinstance(schema, list):
        return [as_json_schema(one, closed, schemas) for one in schema]
    if not isinstance(schema, dict):
        return schema
    # One reference with nothing beside it is that reference, and may lead back here.
    if closed and "allOf" in schema and (len(schema["allOf"]) > 1 or "properties" in schema):
        schema = with_inherited(schema, schemas)
    made = {name: as_json_schema(value, closed, schemas) for name, value in schema.items() if name != "nullable"}
    if schema.get("nullable") and "type" in schema:
        made["type"] = [schema["type"], "null"]
    if closed and isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        made["additionalProperties"] = False
    return made


def with_inherited(schema, schemas):
    """An object with the members of what it is made of, so that one closed schema knows all of them."""
    whole = {name: value for name, value in schema.items() if name != "allOf"}
    for part in schema["allOf"]:
        part = schemas[part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part
        part = with_inherited(part, schemas) if "allOf" in part else part
        for name, value in part.items():
            if name == "properties":
                whole["properties"] = {**value, **whole.get("properties", {})}
            elif name == "required":
                whole["required"] = [*whole.get("required", []), *value]
            else:
                whole.setdefault(name, value)
    return whole


class Schemas:
    """Validators, made once for each document and schema."""

    def __init__(self):
        self.components, self.validators = {}, {}

    def problems(self, document, schema, value, closed):
        key = (id(document), json.dumps(schema, sort_keys=True), closed)
        if key not in self.validators:
            of_document = (id(document), closed)
            if of_document not in self.components:
                schemas = document["components"]["schemas"]
                made = {name: as_json_schema(value, closed, schemas) for name, value in schemas.items()}
                self.components[of_document] = {"schemas": made}
            schemas = document["components"]["schemas"]
            whole = dict(as_json_schema(schema, closed, schemas), components=self.components[of_document])
            self.validators[key] = Draft202012Validator(whole)
        for error in self.validators[key].iter_errors(value):
            place = "".join("[]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
            yield f"{place or '.'}: {described(error)}"


def described(error):
    """What is wrong, without the value, which may be long or secret."""
    if error.validator == "additionalProperties":
        extra = set(error.instance) - set(error.schema.get("properties", {}))
        return f"the reference has no member {', '.join(sorted(extra))}"
    if error.validator == "required":
        return error.message
    return f"is not {error.validator} {json.dumps(error.validator_value)}"[:200]


def binary_problems(document, schema, value, place=""):
    """Members that the reference calls base64url and that are none."""
    while isinstance(schema, dict) and "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if isinstance(value, dict):
        for name, one in value.items():
            yield from binary_problems(document, schema.get("properties", {}).get(name, {}), one, f"{place}.{name}")
    elif isinstance(value, list):
        for one in value:
            yield from binary_problems(document, schema.get("items", {}), one, f"{place}[]")
    elif isinstance(value, str) and schema.get("format") == "base64url":
        if not re.fullmatch(r"[\w-]*", value, re.ASCII) or len(value) % 4 == 1:
            yield f"{place}: is not base64url without padding"


class Checker:
    def __init__(self, reference):
        self.data_plane = load(reference, DATA_PLANE)
        # From 2026 on keys have more members, which only the preview's file knows.
        self.newer_data_plane = load(reference, DATA_PLANE[::-1])
        self.management_plane = load(reference, MANAGEMENT_PLANE)
        self.schemas = Schemas()

    def operation(self, exchange):
        url = urlsplit(exchange["url"])
        newer = api_version(exchange).startswith("2026-")
        plane = self.newer_data_plane if newer else self.data_plane
        if url.hostname.startswith("management."):
            plane = self.management_plane
        return find(plane, exchange["method"], url.path)

    def problems(self, exchange, operation):
        """What the reference does not have, as texts."""
        succeeded = exchange["status"] < 400
        if operation is None:
            if succeeded and not is_other_provider(exchange):
                yield "answered, but not in the reference"
            return
        if succeeded:
            yield from self.request_problems(exchange, operation)
        yield from self.answer_problems(exchange, operation)

    def request_problems(self, exchange, operation):
        if operation.request_schema is not None:
            if not exchange["request"]:
                if operation.request_required:
                    yield "request: a body is required"
            else:
                body = json.loads(exchange["request"])
                for problem in self.schemas.problems(operation.document, operation.request_schema, body, False):
                    yield f"request{problem}"
        query = parse_qs(urlsplit(exchange["url"]).query)
        for parameter in operation.query:
            values = query.get(parameter["name"], [])
            if not values and parameter.get("required"):
                yield f"request: no {parameter['name']}"
            for text in values:
                value = int(text) if parameter["schema"].get("type") == "integer" and text.isdigit() else text
                for problem in self.schemas.problems(operation.document, parameter["schema"], value, False):
                    yield f"request {parameter['name']}{problem}"

    def answer_problems(self, exchange, operation):
        status = str(exchange["status"])
        declared = operation.responses.get(status)
        if declared is None and exchange["status"] >= 400:
            declared = operation.responses.get("default", {})
        if declared is None:
            yield f"answer: status {status} is not one of {', '.join(operation.responses)}"
            return
        schema = declared.get("content", {}).get("application/json", {}).get("schema")
        if schema is None:
            if exchange["answer"] not in ("", "null"):
                yield f"answer {status}: has a body, the reference has none"
            return
        if not exchange["answer"]:
            yield f"answer {status}: has no body"
            return
        if exchange["content_type"].split(";")[0] != "application/json":
            yield f"answer {status}: is {exchange['content_type']}, not application/json"
            return
        body = json.loads(exchange["answer"])
        for problem in self.schemas.problems(operation.document, schema, body, True):
            yield f"answer {status}{problem}"
        for problem in binary_problems(operation.document, schema, body):
            yield f"answer {status}{problem}"


def api_version(exchange):
    return parse_qs(urlsplit(exchange["url"]).query).get("api-version", [""])[0]


def is_other_provider(exchange):
    """The management plane also answers for subscriptions, groups, roles and identities, which no file here describes."""
    url = urlsplit(exchange["url"])
    return url.hostname.startswith("management.") and "/providers/microsoft.keyvault/" not in url.path.lower()


class Deviations:
    """What differs on purpose."""

    def __init__(self, path):
        self.rows = tomllib.loads(path.read_text()).get("deviation", [])
        self.met = set()

    def excuse(self, name, problem, client):
        for number, row in enumerate(self.rows):
            if re.fullmatch(row["operation"], name) and re.fullmatch(row["problem"], problem) and is_by(row, client):
                self.met.add(number)
                return True
        return False

    def unmet(self, clients):
        """Those that nobody met, but for rows about clients that did not take part."""
        rows = [row for number, row in enumerate(self.rows) if number not in self.met]
        return [row for row in rows if any(is_by(row, client) for client in clients)]


def is_by(row, client):
    return (client or "").startswith(row.get("client", ""))


MEMBERS = ("plane", "method", "path", "client", "api_version", "test")


def read_record(path):
    """The proofs that are kept: the test of each."""
    rows = [[row[name] for name in MEMBERS] for row in json.loads(path.read_text())]
    return {tuple(key): test for *key, test in rows}


def write_record(path, proofs):
    rows = [dict(zip(MEMBERS, (*key, test))) for key, test in sorted(proofs.items())]
    path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


def named(proofs):
    """The one test that is named for each proof: the one that proves most, so that few are named."""
    count = Counter(test for tests in proofs.values() for test in tests)
    return {key: min(tests, key=lambda test: (-count[test], test)) for key, tests in proofs.items()}


def lost_proofs(record, proofs):
    """Proofs of the record that this run does not have; clients that did not take part are left out."""
    took_part = {key[3] for key in proofs}
    return [key for key in read_record(record) if key[3] in took_part and key not in proofs]


def keep(record, proofs, is_complete):
    """Puts the proofs of a run into the record. A test that proves already stays, so that a run of some tests changes little."""
    took_part = {key[3] for key in proofs} if is_complete else set()
    kept = {key: test for key, test in read_record(record).items() if key[3] not in took_part and exists(test)}
    write_record(record, {**proofs, **kept})


def exists(test):
    """Whether `module::function` is still a test of this folder."""
    module, function = test.rsplit("::", 1)
    source = Path(__file__).parent.parent.joinpath(*module.split("::")).with_suffix(".rs")
    return source.exists() and f"fn {function}(" in source.read_text()


def options(arguments):
    """`--complete RECORD` and `--keep RECORD`."""
    pairs = dict(zip(arguments[::2], arguments[1::2]))
    return [Path(pairs[name]) if name in pairs else None for name in ("--complete", "--keep")]


def client(user_agent):
    for mark, name in CLIENTS:
        found = re.search(mark, user_agent)
        if found:
            return f"{name} {found[1]}".strip()
    return None


def main():
    reference, folder = Path(sys.argv[1]), Path(sys.argv[2])
    record, kept_record = options(sys.argv[3:])
    checker, deviations = Checker(reference), Deviations(reference / "deviations.toml")
    findings, proofs, clients, count = {}, {}, set(), 0
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            exchange = json.loads(line)
            count += 1
            operation, name = checker.operation(exchange), client(exchange["user_agent"])
            clients.add(name)
            for problem in checker.problems(exchange, operation):
                path = operation.path if operation else urlsplit(exchange["url"]).path
                shown = f"{exchange['method']} {path}"
                if not deviations.excuse(shown, problem, name):
                    findings.setdefault((shown, problem), exchange["test"])
            if operation and name and exchange["status"] < 400:
                labels = urlsplit(exchange["url"]).hostname.split(".")
                plane = labels[0] if labels[0] == "management" else labels[1]
                key = (plane, operation.method, operation.path, name, api_version(exchange))
                proofs.setdefault(key, set()).add(exchange["test"])
    for (operation, problem), test in sorted(findings.items()):
        print(f"{operation}: {problem} ({test})")
    unmet = deviations.unmet(clients) if record else []
    for row in unmet:
        print(f"deviations.toml: nothing deviates like this any more, remove it: {row['operation']}: {row['problem']}")
    proofs = named(proofs)
    write_record(folder / "proofs.json", proofs)
    # Who keeps a complete run says which proofs there are.
    lost = lost_proofs(record, proofs) if record and not kept_record else []
    for key in lost:
        print(f"{record}: no test proves this any more: {' '.join(key)}")
    print(f"{count} exchanges, {len(proofs)} proofs, {len(deviations.met)} of {len(deviations.rows)} deviations met, "
          f"{len(findings) + len(unmet) + len(lost)} findings")
    if findings or unmet or lost or not count:
        return 1
    if kept_record:
        keep(kept_record, proofs, record is not None)
        print(f"{kept_record}: has them now")
    return 0


if __name__ == "__main__":
    sys.exit(main())
