// `KeyClient`: every operation on keys as such.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";

import { KeyClient, KnownKeyExportEncryptionAlgorithm } from "@azure/keyvault-keys";

import { passed, refused } from "./report.mjs";

const PAGE = 25;

// Name of the key, type, what its making needs. The chapters on cryptography use these keys.
export const ASYMMETRIC = [
  ["walk-rsa-2048", "RSA", { keySize: 2048 }],
  ["walk-rsa-3072", "RSA", { keySize: 3072 }],
  ["walk-rsa-4096", "RSA", { keySize: 4096 }],
  ["walk-ec-p-256", "EC", { curve: "P-256" }],
  ["walk-ec-p-256k", "EC", { curve: "P-256K" }],
  ["walk-ec-p-384", "EC", { curve: "P-384" }],
  ["walk-ec-p-521", "EC", { curve: "P-521" }],
];
export const SYMMETRIC = [
  ["walk-oct-128", "oct", { keySize: 128 }],
  ["walk-oct-192", "oct", { keySize: 192 }],
  ["walk-oct-256", "oct", { keySize: 256 }],
];

export const isVault = (url) => url.includes(".vault.");

// Whether the types of keys are those that end in -HSM. A vault has others too, and takes those unless it is told.
const isHardware = (url) => !isVault(url) || process.env.KEY_TYPES === "HSM";
const shownType = (url, kind) => (isHardware(url) ? `${kind}-HSM` : kind);

export function create(client, name, kind, about = {}, options = {}) {
  const all = { hsm: isHardware(client.vaultUrl), ...about, ...options };
  const makers = { RSA: "createRsaKey", EC: "createEcKey", oct: "createOctKey" };
  return client[makers[kind]](name, all);
}

export async function all(iterator) {
  const items = [];
  for await (const item of iterator) {
    items.push(item);
  }
  return items;
}

export async function walk(url, credential) {
  const client = new KeyClient(url, credential);
  await createEachType(client);
  await readAndUpdate(client);
  await listPages(client);
  await deleteRecoverPurge(client);
}

async function createEachType(client) {
  const url = client.vaultUrl;
  for (const [name, kind, about] of [...ASYMMETRIC, ...(isVault(url) ? [] : SYMMETRIC)]) {
    const key = await create(client, name, kind, about);
    assert.equal(key.keyType, shownType(url, kind));
    passed("create", kind, ...Object.values(about));
  }
}

async function readAndUpdate(client) {
  const name = "walk-versions";
  const first = await create(client, name, "EC", {}, { tags: { step: "1" } });
  const second = await create(client, name, "EC");
  assert.equal((await client.getKey(name)).id, second.id);
  const { version } = first.properties;
  const old = await client.getKey(name, { version });
  assert.deepEqual(old.properties.tags, { step: "1" });
  assert.deepEqual(old.key.x, first.key.x);
  passed("get");
  const expiresOn = new Date("2035-01-02T03:04:05Z");
  const notBefore = new Date("2035-01-01T03:04:05Z");
  const change = { enabled: false, expiresOn, notBefore, tags: { step: "2" }, keyOps: ["verify"] };
  // The package counts in 32 bits: later dates are on the wire as dates before 1970.
  const late = { expiresOn: new Date("2040-01-02T03:04:05Z") };
  await refused(() => client.updateKeyProperties(name, version, late), 400);
  passed("update", "refused with a date after 2038");
  await client.updateKeyProperties(name, version, change);
  const read = await client.getKey(name, { version });
  assert.equal(read.properties.enabled, false);
  assert.deepEqual(read.properties.expiresOn, expiresOn);
  assert.deepEqual(read.properties.notBefore, notBefore);
  assert.deepEqual(read.properties.tags, { step: "2" });
  assert.deepEqual(read.keyOperations, ["verify"]);
  passed("update");
  const versions = await all(client.listPropertiesOfKeyVersions(name));
  assert.deepEqual(new Set(versions.map((it) => it.version)), new Set([version, second.properties.version]));
  passed("list versions");
}

async function listPages(client) {
  const names = Array.from({ length: PAGE + 1 }, (_, number) => `walk-page-${number}`);
  for (const name of names) {
    await create(client, name, "EC");
  }
  const pages = await all(client.listPropertiesOfKeys().byPage());
  assert.ok(pages.length > 1 && pages.every((page) => page.length <= PAGE));
  const found = pages.flat().map((it) => it.name);
  assert.equal(new Set(found).size, found.length);
  assert.ok(names.every((name) => found.includes(name)));
  const small = await client.listPropertiesOfKeys().byPage({ maxPageSize: 2 }).next();
  assert.equal(small.value.length, 2);
  passed("list", pages.length, "pages");
  for (const name of names) {
    await (await client.beginDeleteKey(name)).pollUntilDone();
  }
  const deleted = await all(client.listDeletedKeys().byPage());
  const gone = deleted.flat().map((it) => it.name);
  assert.ok(deleted.length > 1 && names.every((name) => gone.includes(name)));
  passed("list deleted", deleted.length, "pages");
  for (const name of names) {
    await client.purgeDeletedKey(name);
  }
}

async function deleteRecoverPurge(client) {
  const name = "walk-deleted";
  const made = await create(client, name, "EC");
  const deleted = await (await client.beginDeleteKey(name)).pollUntilDone();
  assert.ok(deleted.properties.recoveryId && deleted.properties.scheduledPurgeDate > deleted.properties.deletedOn);
  passed("delete");
  assert.equal((await client.getDeletedKey(name)).id, made.id);
  passed("get deleted");
  await refused(() => create(client, name, "EC"), 409);
  passed("create", "refused while deleted");
  assert.equal((await (await client.beginRecoverDeletedKey(name)).pollUntilDone()).id, made.id);
  assert.equal((await client.getKey(name)).id, made.id);
  passed("recover");
  await (await client.beginDeleteKey(name)).pollUntilDone();
  await client.purgeDeletedKey(name);
  await refused(() => client.getKey(name), 404);
  await refused(() => client.getDeletedKey(name), 404);
  passed("purge");
}

export async function drawRandomBytes(url, credential) {
  const client = new KeyClient(url, credential);
  for (const count of [1, 16, 128]) {
    assert.equal((await client.getRandomBytes(count)).length, count);
  }
  passed("random bytes");
}

export async function rotate(url, credential) {
  const client = new KeyClient(url, credential);
  const name = "walk-rotated";
  const first = await create(client, name, "EC", {}, { tags: { kept: "yes" } });
  const lifetimeActions = [{ action: "Rotate", timeAfterCreate: "P30D" }];
  const set = await client.updateKeyRotationPolicy(name, { lifetimeActions, expiresIn: "P90D" });
  passed("update rotation policy");
  for (const policy of [set, await client.getKeyRotationPolicy(name)]) {
    const rotate = policy.lifetimeActions.find((it) => it.action.toLowerCase() === "rotate");
    assert.equal(rotate.timeAfterCreate, "P30D");
    assert.equal(policy.expiresIn, "P90D");
  }
  passed("get rotation policy");
  const second = await client.rotateKey(name);
  assert.notEqual(second.id, first.id);
  assert.notDeepEqual(second.key.x, first.key.x);
  assert.equal((await client.getKey(name)).id, second.id);
  assert.ok(second.properties.expiresOn);
  passed("rotate");
}

export async function importEachType(url, credential) {
  const client = new KeyClient(url, credential);
  for (const [kind, jwk] of [["RSA", rsaJwk()], ["EC", ecJwk()], ...(isVault(url) ? [] : [["oct", octJwk()]])]) {
    const options = { hardwareProtected: isHardware(url) };
    const key = await client.importKey(`walk-imported-${kind.toLowerCase()}`, jwk, options);
    assert.equal(key.keyType, shownType(url, kind));
    assert.deepEqual([...(key.key.n ?? key.key.x ?? [])], [...(jwk.n ?? jwk.x ?? [])]);
    assert.equal(key.key.d ?? key.key.k, undefined);
    passed("import", kind);
  }
}

const rsaJwk = () => ({
  ...parts(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey),
  kty: "RSA",
  keyOps: ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"],
});

const ecJwk = () => ({
  ...parts(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey),
  kty: "EC",
  crv: "P-256",
  keyOps: ["sign", "verify"],
});

const octJwk = () => ({ kty: "oct", k: randomBytes(32), keyOps: ["encrypt", "decrypt", "wrapKey", "unwrapKey"] });

// The numbers of a key, as the package wants them: bytes.
function parts(key) {
  const numbers = Object.entries(key.export({ format: "jwk" })).filter(([name]) => !["kty", "crv"].includes(name));
  return Object.fromEntries(numbers.map(([name, text]) => [name, Buffer.from(text, "base64url")]));
}

export async function backUpAndRestore(url, credential) {
  const client = new KeyClient(url, credential);
  const name = "walk-backed-up";
  await create(client, name, "EC");
  const made = await create(client, name, "EC", {}, { tags: { kept: "yes" } });
  const blob = await client.backupKey(name);
  passed("backup");
  await refused(() => client.restoreKeyBackup(blob), 409);
  passed("restore", "refused over a key that is there");
  await (await client.beginDeleteKey(name)).pollUntilDone();
  await client.purgeDeletedKey(name);
  const restored = await client.restoreKeyBackup(blob);
  assert.equal(restored.id, made.id);
  assert.deepEqual(restored.key.x, made.key.x);
  assert.equal((await all(client.listPropertiesOfKeyVersions(name))).length, 2);
  passed("restore");
}

export async function attestAndRelease(url, credential) {
  const client = new KeyClient(url, credential);
  const attested = await create(client, "walk-attested", "RSA");
  const read = await client.getKeyAttestation("walk-attested", { version: attested.properties.version });
  const { attestation } = read.properties;
  assert.equal(read.id, attested.id);
  assert.ok(attestation.privateKeyAttestation && attestation.version);
  passed("get attestation", attestation.version);
  const claims = [{ claim: "x-ms-attestation-type", equals: "sevsnpvm" }];
  const grammar = { version: "1.0.0", anyOf: [{ authority: process.env.ATTESTATION_AUTHORITY, allOf: claims }] };
  const releasePolicy = { encodedPolicy: Buffer.from(JSON.stringify(grammar)), immutable: true };
  for (const kind of ["RSA", "EC"]) {
    const name = `walk-released-${kind.toLowerCase()}`;
    const key = await create(client, name, kind, {}, { exportable: true, releasePolicy });
    assert.ok(key.properties.exportable && key.properties.releasePolicy.immutable);
    for (const algorithm of Object.values(KnownKeyExportEncryptionAlgorithm)) {
      const options = { algorithm, nonce: "n-1" };
      const released = await client.releaseKey(name, process.env.ATTESTATION_TOKEN, options);
      const payload = JSON.parse(Buffer.from(released.value.split(".")[1], "base64url"));
      assert.equal(payload.request.enc, algorithm);
      assert.equal(payload.request.kid, key.id);
      assert.ok(payload.response.key.key.key_hsm);
      passed("release", kind, algorithm);
    }
  }
}
