// `CryptographyClient`: every algorithm the package knows.
//
// With the right to read keys the client computes by itself what the public key is enough for. A caller without that
// right sends everything to the service; so the chapter is walked twice.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";

import {
  CryptographyClient,
  KeyClient,
  KnownEncryptionAlgorithms,
  KnownSignatureAlgorithms,
} from "@azure/keyvault-keys";

import { ASYMMETRIC, SYMMETRIC, create, isVault } from "./keys.mjs";
import { passed } from "./report.mjs";

const CURVES = { ES256: "p-256", ES256K: "p-256k", ES384: "p-384", ES512: "p-521" };

// The package has a type for these, and no list.
const KEY_WRAP_ALGORITHMS = [
  "A128KW",
  "A192KW",
  "A256KW",
  "RSA-OAEP",
  "RSA-OAEP-256",
  "RSA1_5",
  "CKM_AES_KEY_WRAP",
  "CKM_AES_KEY_WRAP_PAD",
];

// As a caller who may read the keys.
export async function walk(url, credential) {
  const client = new KeyClient(url, credential);
  await walkAlgorithms(url, async (name) => new CryptographyClient(await client.getKey(name), credential));
}

// As a caller who may use the keys that `KEY_IDS` names and read none of them.
export async function walkUnread(url, credential) {
  const ids = Object.fromEntries(process.env.KEY_IDS.split(",").map((pair) => pair.split("=")));
  await walkAlgorithms(url, async (name) => new CryptographyClient(ids[name], credential));
}

async function walkAlgorithms(url, clientOf) {
  for (const [name] of [...ASYMMETRIC, ...(isVault(url) ? [] : SYMMETRIC)]) {
    const client = await clientOf(name);
    for (const algorithm of Object.values(KnownSignatureAlgorithms).filter((it) => fitsSignature(name, it))) {
      await signAndVerify(client, algorithm);
      passed("sign verify", name, algorithm);
    }
    for (const algorithm of Object.values(KnownEncryptionAlgorithms).filter((it) => fitsContent(name, it, "encrypt"))) {
      await encryptAndDecrypt(client, algorithm);
      passed("encrypt decrypt", name, algorithm);
    }
    for (const algorithm of KEY_WRAP_ALGORITHMS.filter((it) => fitsContent(name, it, "wrap"))) {
      await wrapAndUnwrap(client, algorithm);
      passed("wrap unwrap", name, algorithm);
    }
  }
}

function fitsSignature(name, algorithm) {
  if (algorithm in CURVES) {
    return name === `walk-ec-${CURVES[algorithm]}`;
  }
  if (algorithm.startsWith("HS")) {
    return name === "walk-oct-256";
  }
  // The package lists RSNULL, which strongroom does not offer.
  return name.startsWith("walk-rsa-") && /^[RP]S\d+$/.test(algorithm);
}

function fitsContent(name, algorithm, operation) {
  // The package lists key-wrap algorithms among those of encryption.
  if (operation === "encrypt" && /KW|KEY_WRAP/.test(algorithm)) {
    return false;
  }
  if (algorithm.startsWith("RSA")) {
    return name.startsWith("walk-rsa-");
  }
  if (algorithm.startsWith("CKM_")) {
    return name === "walk-oct-256";
  }
  return name === `walk-oct-${algorithm.slice(1, 4)}`;
}

async function signAndVerify(client, algorithm) {
  const digest = createHash(`sha${algorithm.slice(2, 5)}`).update("strongroom").digest();
  const { result: signature } = await client.sign(algorithm, digest);
  assert.equal((await client.verify(algorithm, digest, signature)).result, true);
  const other = digest.map((byte) => byte ^ 1);
  assert.equal((await client.verify(algorithm, other, signature)).result, false);
}

async function encryptAndDecrypt(client, algorithm) {
  const plaintext = Buffer.from("sixteen bytes ok");
  const extra = {};
  if (algorithm.includes("GCM")) {
    extra.additionalAuthenticatedData = Buffer.from("context");
  }
  if (algorithm.includes("CBC")) {
    extra.iv = randomBytes(16);
  }
  const sealed = await client.encrypt({ algorithm, plaintext, ...extra });
  if (algorithm.includes("GCM")) {
    Object.assign(extra, { iv: sealed.iv, authenticationTag: sealed.authenticationTag });
  }
  const opened = await client.decrypt({ algorithm, ciphertext: sealed.result, ...extra });
  assert.notDeepEqual(Buffer.from(sealed.result), plaintext);
  assert.deepEqual(Buffer.from(opened.result), plaintext);
}

async function wrapAndUnwrap(client, algorithm) {
  const contentKey = randomBytes(32);
  const wrapped = await client.wrapKey(algorithm, contentKey);
  const unwrapped = await client.unwrapKey(algorithm, wrapped.result);
  assert.notDeepEqual(Buffer.from(wrapped.result), contentKey);
  assert.deepEqual(Buffer.from(unwrapped.result), contentKey);
}

// The little that shows that a credential works: a key is made, and signs.
export async function signInAndSign(url, credential) {
  const key = await create(new KeyClient(url, credential), "walk-credential", "EC");
  await signAndVerify(new CryptographyClient(key, credential), "ES256");
  passed("sign verify", "walk-credential", "ES256");
}
