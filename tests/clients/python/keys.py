"""`KeyClient`: every operation on keys as such."""

import base64
import datetime
import hashlib
import json
import os

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.keys import (
    JsonWebKey,
    KeyClient,
    KeyExportEncryptionAlgorithm,
    KeyOperation,
    KeyReleasePolicy,
    KeyRotationLifetimeAction,
    KeyRotationPolicy,
    KeyRotationPolicyAction,
)
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from report import check, passed

PAGE = 25

# Name of the key, type, what its making needs. The chapters on cryptography use these keys.
ASYMMETRIC = [
    ("walk-rsa-2048", "RSA", {"size": 2048}),
    ("walk-rsa-3072", "RSA", {"size": 3072}),
    ("walk-rsa-4096", "RSA", {"size": 4096}),
    ("walk-ec-p-256", "EC", {"curve": "P-256"}),
    ("walk-ec-p-256k", "EC", {"curve": "P-256K"}),
    ("walk-ec-p-384", "EC", {"curve": "P-384"}),
    ("walk-ec-p-521", "EC", {"curve": "P-521"}),
]
SYMMETRIC = [
    ("walk-oct-128", "oct", {"size": 128}),
    ("walk-oct-192", "oct", {"size": 192}),
    ("walk-oct-256", "oct", {"size": 256}),
]


def is_vault(url):
    return ".vault." in url


def is_hardware(url):
    """Whether the types of keys are those that end in -HSM. A vault has others too, and takes those unless it is told."""
    return not is_vault(url) or os.environ.get("KEY_TYPES") == "HSM"


def shown_type(url, kind):
    return f"{kind}-HSM" if is_hardware(url) else kind


def create(client, name, kind, about, **attributes):
    makers = {"RSA": client.create_rsa_key, "EC": client.create_ec_key, "oct": client.create_oct_key}
    return makers[kind](name, hardware_protected=is_hardware(client.vault_url), **about, **attributes)


def walk(url, credential):
    client = KeyClient(url, credential)
    create_each_type(client)
    read_and_update(client)
    list_pages(client)
    delete_recover_purge(client)


def create_each_type(client):
    url = client.vault_url
    for name, kind, about in ASYMMETRIC + ([] if is_vault(url) else SYMMETRIC):
        key = create(client, name, kind, about)
        check(key.key_type.value == shown_type(url, kind), key.key_type)
        passed("create", kind, *about.values())


def read_and_update(client):
    name = "walk-versions"
    first = create(client, name, "EC", {"curve": "P-256"}, tags={"step": "1"})
    second = create(client, name, "EC", {"curve": "P-256"})
    check(client.get_key(name).id == second.id, "the latest version is read")
    old = client.get_key(name, first.properties.version)
    check(old.properties.tags == {"step": "1"} and old.key.x == first.key.x, "an old version stays as it was")
    passed("get")
    expires = datetime.datetime(2040, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    changed = client.update_key_properties(
        name,
        first.properties.version,
        enabled=False,
        expires_on=expires,
        not_before=expires - datetime.timedelta(days=1),
        tags={"step": "2"},
        key_operations=[KeyOperation.verify],
    )
    read = client.get_key(name, first.properties.version)
    for key in (changed, read):
        about = key.properties
        check(about.enabled is False and about.expires_on == expires and about.tags == {"step": "2"}, about.tags)
        check(key.key_operations == [KeyOperation.verify], key.key_operations)
    passed("update")
    versions = {about.version: about for about in client.list_properties_of_key_versions(name)}
    check(set(versions) == {first.properties.version, second.properties.version}, versions)
    check(versions[first.properties.version].enabled is False, "a list shows the attributes")
    passed("list versions")


def list_pages(client):
    names = {f"walk-page-{number}" for number in range(PAGE + 1)}
    for name in names:
        create(client, name, "EC", {"curve": "P-256"})
    pages = [[about.name for about in page] for page in client.list_properties_of_keys().by_page()]
    check(len(pages) > 1 and all(len(page) <= PAGE for page in pages), [len(page) for page in pages])
    found = [name for page in pages for name in page]
    check(names <= set(found) and len(found) == len(set(found)), "each key is listed once")
    small = next(iter(client.list_properties_of_keys(max_page_size=2).by_page()))
    check(len(list(small)) == 2, "the page is as small as asked for")
    passed("list", len(pages), "pages")
    for name in names:
        client.begin_delete_key(name).wait()
    deleted = [[key.name for key in page] for page in client.list_deleted_keys().by_page()]
    check(len(deleted) > 1 and names <= {name for page in deleted for name in page}, "all are in the deleted list")
    passed("list deleted", len(deleted), "pages")
    for name in names:
        client.purge_deleted_key(name)


def delete_recover_purge(client):
    name = "walk-deleted"
    made = create(client, name, "EC", {"curve": "P-256"})
    deleted = client.begin_delete_key(name).result()
    check(deleted.recovery_id and deleted.scheduled_purge_date > deleted.deleted_date, deleted.recovery_id)
    passed("delete")
    check(client.get_deleted_key(name).id == made.id, "the deleted key is shown")
    passed("get deleted")
    try:
        create(client, name, "EC", {"curve": "P-256"})
        raise AssertionError("the name of a deleted key is taken")
    except ResourceExistsError:
        passed("create", "refused while deleted")
    check(client.begin_recover_deleted_key(name).result().id == made.id, "the same key comes back")
    check(client.get_key(name).id == made.id, "the recovered key is read")
    passed("recover")
    client.begin_delete_key(name).wait()
    client.purge_deleted_key(name)
    for read in (client.get_key, client.get_deleted_key):
        try:
            read(name)
            raise AssertionError("a purged key is gone")
        except ResourceNotFoundError:
            pass
    passed("purge")


def draw_random_bytes(url, credential):
    client = KeyClient(url, credential)
    drawn = {client.get_random_bytes(count) for count in (1, 16, 128)}
    check(sorted(map(len, drawn)) == [1, 16, 128], drawn)
    passed("random bytes")


def rotate(url, credential):
    client = KeyClient(url, credential)
    name = "walk-rotated"
    first = create(client, name, "EC", {"curve": "P-256"}, tags={"kept": "yes"})
    action = KeyRotationLifetimeAction(KeyRotationPolicyAction.rotate, time_after_create="P30D")
    policy = KeyRotationPolicy(lifetime_actions=[action], expires_in="P90D")
    set_policy = client.update_key_rotation_policy(name, policy)
    passed("update rotation policy")
    read = client.get_key_rotation_policy(name)
    for found in (set_policy, read):
        actions = {it.action: it.time_after_create for it in found.lifetime_actions}
        check(actions.get(KeyRotationPolicyAction.rotate) == "P30D" and found.expires_in == "P90D", actions)
    passed("get rotation policy")
    second = client.rotate_key(name)
    check(second.id != first.id and second.key.x != first.key.x, "there is a new version with a new key")
    check(client.get_key(name).id == second.id and second.properties.expires_on, "it is the latest, and expires")
    passed("rotate")


def import_each_type(url, credential):
    client = KeyClient(url, credential)
    made = [("RSA", rsa_jwk()), ("EC", ec_jwk())] + ([] if is_vault(url) else [("oct", oct_jwk())])
    for kind, jwk in made:
        key = client.import_key(f"walk-imported-{kind.lower()}", jwk, hardware_protected=is_hardware(url))
        check(key.key_type.value == shown_type(url, kind), key.key_type)
        check(key.key.n == jwk.n and key.key.x == jwk.x and key.key.d is None, "the public part, and no other")
        passed("import", kind)


def rsa_jwk():
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = private.private_numbers()
    parts = {
        "n": numbers.public_numbers.n,
        "e": numbers.public_numbers.e,
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dp": numbers.dmp1,
        "dq": numbers.dmq1,
        "qi": numbers.iqmp,
    }
    parts = {name: number.to_bytes((number.bit_length() + 7) // 8, "big") for name, number in parts.items()}
    operations = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"]
    return JsonWebKey(kty="RSA", key_ops=operations, **parts)


def ec_jwk():
    numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    point = numbers.public_numbers
    parts = {"x": point.x, "y": point.y, "d": numbers.private_value}
    parts = {name: number.to_bytes(32, "big") for name, number in parts.items()}
    return JsonWebKey(kty="EC", crv="P-256", key_ops=["sign", "verify"], **parts)


def oct_jwk():
    return JsonWebKey(kty="oct", k=os.urandom(32), key_ops=["encrypt", "decrypt", "wrapKey", "unwrapKey"])


def back_up_and_restore(url, credential):
    client = KeyClient(url, credential)
    name = "walk-backed-up"
    create(client, name, "EC", {"curve": "P-256"})
    made = create(client, name, "EC", {"curve": "P-256"}, tags={"kept": "yes"})
    blob = client.backup_key(name)
    passed("backup")
    try:
        client.restore_key_backup(blob)
        raise AssertionError("a key that is there is not overwritten")
    except ResourceExistsError:
        passed("restore", "refused over a key that is there")
    client.begin_delete_key(name).wait()
    client.purge_deleted_key(name)
    restored = client.restore_key_backup(blob)
    check(restored.id == made.id and restored.key.x == made.key.x and restored.properties.tags, restored.id)
    check(len(list(client.list_properties_of_key_versions(name))) == 2, "all versions come back")
    passed("restore")


def attest_and_release(url, credential):
    client = KeyClient(url, credential)
    attested = create(client, "walk-attested", "RSA", {"size": 2048})
    read = client.get_key_attestation("walk-attested", attested.properties.version)
    attestation = read.properties.attestation
    check(read.id == attested.id and attestation.private_key_attestation and attestation.version, attestation)
    passed("get attestation", attestation.version)
    authority = os.environ["ATTESTATION_AUTHORITY"]
    claims = [{"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}]
    grammar = {"version": "1.0.0", "anyOf": [{"authority": authority, "allOf": claims}]}
    policy = KeyReleasePolicy(json.dumps(grammar).encode(), immutable=True)
    for kind, about in (("RSA", {"size": 2048}), ("EC", {"curve": "P-256"})):
        name = f"walk-released-{kind.lower()}"
        key = create(client, name, kind, about, exportable=True, release_policy=policy)
        check(key.properties.exportable and key.properties.release_policy.immutable, "the policy is kept")
        for algorithm in KeyExportEncryptionAlgorithm:
            released = client.release_key(name, os.environ["ATTESTATION_TOKEN"], algorithm=algorithm, nonce="n-1")
            check_released(released.value, key, algorithm.value)
            passed("release", kind, algorithm.value)


def be_refused_by_a_vault(url, credential):
    client = KeyClient(url, credential)
    create(client, "walk-refused", "RSA", {"size": 2048})
    claims = [{"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}]
    grammar = {"version": "1.0.0", "anyOf": [{"authority": os.environ["ATTESTATION_AUTHORITY"], "allOf": claims}]}
    exportable = {"exportable": True, "release_policy": KeyReleasePolicy(json.dumps(grammar).encode())}
    name, token = "walk-refused", os.environ["ATTESTATION_TOKEN"]
    for what, status, call in (
        ("create oct", 400, lambda: client.create_oct_key("walk-oct", size=256, hardware_protected=True)),
        ("import oct", 400, lambda: client.import_key("walk-oct", oct_jwk(), hardware_protected=True)),
        ("create exportable", 400, lambda: create(client, "walk-exportable", "RSA", {"size": 2048}, **exportable)),
        ("release", 404, lambda: client.release_key(name, token)),
        ("get attestation", 404, lambda: client.get_key_attestation(name)),
        ("random bytes", 404, lambda: client.get_random_bytes(8)),
    ):
        try:
            call()
            raise AssertionError(f"{what}: a vault does not do that")
        except HttpResponseError as error:
            check(error.status_code == status, f"{what}: {error}")
        passed(what, "refused")
    names = {about.name for about in client.list_properties_of_keys()}
    check(not names & {"walk-oct", "walk-exportable"}, names)


def check_released(jws, key, algorithm):
    payload = jws.split(".")[1]
    payload = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    check(payload["request"]["enc"] == algorithm and payload["request"]["nonce"] == "n-1", payload["request"])
    check(payload["request"]["kid"] == key.id, payload["request"])
    check(payload["response"]["key"]["key"]["key_hsm"], "the wrapped key is there")


def digest(algorithm):
    """A digest of the length that a signature algorithm takes."""
    return hashlib.new(f"sha{algorithm.value[2:5]}", b"strongroom").digest()
