"""An attested environment, and a verifier of key attestations, by another library than the server's.

    attested.py make KEY               writes an RSA key, prints its public JWK
    attested.py open JWS KEY CA        checks the answer of a key release against a CA, opens the key, prints what it is
    attested.py unwrap WRAPPED KEY     opens a wrapped symmetric key, prints it as hexadecimal
    attested.py verify BUNDLE CA       checks the attestation of a key bundle against a CA, prints the statements
"""

import base64
import hashlib
import json
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding

OAEP = {
    "CKM_RSA_AES_KEY_WRAP": hashes.SHA1(),
    "RSA_AES_KEY_WRAP_256": hashes.SHA256(),
    "RSA_AES_KEY_WRAP_384": hashes.SHA384(),
}


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def load(path):
    with open(path, "rb") as file:
        return file.read()


def make(path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    with open(path, "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, *form))
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": "environment", "key_ops": ["encrypt"], "n": number(public.n), "e": number(public.e)}


def verified(jws, ca_path, typ):
    """The payload of a JWS whose certificate hangs on the CA."""
    header, payload, signature = jws.split(".")
    signed, header = f"{header}.{payload}".encode(), json.loads(decode(header))
    assert header["alg"] == "RS256" and header["typ"] == typ, header
    chain = [x509.load_der_x509_certificate(base64.b64decode(der)) for der in header["x5c"]]
    ca = x509.load_pem_x509_certificate(load(ca_path))
    assert chain[-1] == ca, "the chain ends in another CA"
    chain[0].verify_directly_issued_by(ca)
    leaf = chain[0].public_bytes(serialization.Encoding.DER)
    assert header["kid"] == header["x5t#S256"] == encode(hashlib.sha256(leaf).digest()), header
    chain[0].public_key().verify(decode(signature), signed, padding.PKCS1v15(), hashes.SHA256())
    return json.loads(decode(payload)), chain


def unwrap_bytes(wrapped, enc, key_path):
    key = serialization.load_pem_private_key(load(key_path), None)
    oaep = padding.OAEP(padding.MGF1(OAEP[enc]), OAEP[enc], None)
    ephemeral = key.decrypt(wrapped[: key.key_size // 8], oaep)
    assert len(ephemeral) == 32
    return aes_key_unwrap_with_padding(ephemeral, wrapped[key.key_size // 8 :])


def unwrap(wrapped, key_path):
    return unwrap_bytes(decode(wrapped), "CKM_RSA_AES_KEY_WRAP", key_path).hex()


def open_released(jws_path, key_path, ca_path):
    payload, chain = verified(load(jws_path).decode(), ca_path, "JWT")
    released = payload["response"]["key"]
    wrapped = json.loads(decode(released["key"]["key_hsm"]))
    assert wrapped["schema_version"] == "1.0" and wrapped["header"]["alg"] == "dir", wrapped
    assert wrapped["header"]["enc"] == payload["request"]["enc"], payload
    material = unwrap_bytes(decode(wrapped["ciphertext"]), wrapped["header"]["enc"], key_path)
    names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {
        "request": payload["request"],
        "recipient": wrapped["header"]["kid"],
        "key": released["key"],
        "release_policy": released["release_policy"],
        "exportable": released["attributes"]["exportable"],
        "public_of_private": public_of(released["key"]["kty"], material),
        "names": names.get_values_for_type(x509.DNSName),
    }


def public_of(kty, material):
    """What the public half must be if this is the private one."""
    if kty == "oct":
        return {"bytes": len(material)}
    public = serialization.load_der_private_key(material, None).public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return {"n": number(public.public_numbers().n), "e": number(public.public_numbers().e)}
    assert isinstance(public, ec.EllipticCurvePublicKey)
    size = (public.curve.key_size + 7) // 8
    point = public.public_numbers()
    return {"x": encode(point.x.to_bytes(size, "big")), "y": encode(point.y.to_bytes(size, "big"))}


def verify(bundle_path, ca_path):
    bundle = json.loads(load(bundle_path))
    attestation = bundle["attributes"]["attestation"]
    published = x509.load_pem_x509_certificates(decode(attestation["certificatePemFile"]))
    statements = {"version": attestation["version"]}
    for member, part in (("privateKeyAttestation", "private"), ("publicKeyAttestation", "public")):
        if member not in attestation:
            continue
        statement, chain = verified(decode(attestation[member]).decode(), ca_path, "strongroom-key-attestation+jwt")
        assert chain == published, "the published certificates are others"
        assert statement["part"] == part and statement["format"] == attestation["version"], statement
        statements[part] = statement
    return statements


VERBS = {"make": make, "open": open_released, "unwrap": unwrap, "verify": verify}
print(json.dumps(VERBS[sys.argv[1]](*sys.argv[2:])))
