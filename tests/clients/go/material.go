package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

func rotate(w walker) error {
	key := named("walk-rotated")
	first, err := w.create(key)
	if err != nil {
		return err
	}
	policy := azkeys.KeyRotationPolicy{
		Attributes: &azkeys.KeyRotationPolicyAttributes{ExpiryTime: to.Ptr("P90D")},
		LifetimeActions: []*azkeys.LifetimeAction{{
			Action:  &azkeys.LifetimeActionType{Type: to.Ptr(azkeys.KeyRotationPolicyActionRotate)},
			Trigger: &azkeys.LifetimeActionTrigger{TimeAfterCreate: to.Ptr("P30D")},
		}},
	}
	if _, err := w.UpdateKeyRotationPolicy(w, key.name, policy, nil); err != nil {
		return err
	}
	passed("update rotation policy")
	read, err := w.GetKeyRotationPolicy(w, key.name, nil)
	if err != nil {
		return err
	}
	after := ""
	for _, action := range read.LifetimeActions {
		if strings.EqualFold(string(*action.Action.Type), string(azkeys.KeyRotationPolicyActionRotate)) {
			after = *action.Trigger.TimeAfterCreate
		}
	}
	if err := check(after == "P30D" && *read.Attributes.ExpiryTime == "P90D", "the policy is kept"); err != nil {
		return err
	}
	passed("get rotation policy")
	second, err := w.RotateKey(w, key.name, nil)
	if err != nil {
		return err
	}
	good := *second.Key.KID != *first.Key.KID && !bytes.Equal(second.Key.X, first.Key.X)
	if err := check(good && second.Attributes.Expires != nil, "there is a new version that expires"); err != nil {
		return err
	}
	passed("rotate")
	return nil
}

func importEachType(w walker) error {
	keys, err := privateKeys()
	if err != nil {
		return err
	}
	if w.vault {
		keys = keys[:2]
	}
	for _, key := range keys {
		kind := *key.Kty
		name := "walk-imported-" + strings.ToLower(string(kind))
		imported, err := w.ImportKey(w, name, azkeys.ImportKeyParameters{Key: &key, HSM: to.Ptr(!w.vault)}, nil)
		if err != nil {
			return err
		}
		found := imported.Key
		good := *found.Kty == w.keyType(kind) && bytes.Equal(found.N, key.N) && bytes.Equal(found.X, key.X)
		if err := check(good && found.D == nil && found.K == nil, "the public part, and no other"); err != nil {
			return err
		}
		passed("import", kind)
	}
	return nil
}

// privateKeys are one RSA, one EC and one oct key.
func privateKeys() ([]azkeys.JSONWebKey, error) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	scalar, err := ecKey.Bytes()
	if err != nil {
		return nil, err
	}
	point, err := ecKey.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return nil, err
	}
	return []azkeys.JSONWebKey{
		{
			Kty:    to.Ptr(azkeys.KeyTypeRSA),
			KeyOps: operations("encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"),
			N:      rsaKey.N.Bytes(),
			E:      []byte{1, 0, 1},
			D:      rsaKey.D.Bytes(),
			P:      rsaKey.Primes[0].Bytes(),
			Q:      rsaKey.Primes[1].Bytes(),
			DP:     rsaKey.Precomputed.Dp.Bytes(),
			DQ:     rsaKey.Precomputed.Dq.Bytes(),
			QI:     rsaKey.Precomputed.Qinv.Bytes(),
		},
		{
			Kty:    to.Ptr(azkeys.KeyTypeEC),
			Crv:    to.Ptr(azkeys.CurveNameP256),
			KeyOps: operations("sign", "verify"),
			D:      scalar,
			X:      point[1:33],
			Y:      point[33:],
		},
		{
			Kty:    to.Ptr(azkeys.KeyTypeOct),
			KeyOps: operations("encrypt", "decrypt", "wrapKey", "unwrapKey"),
			K:      random(32),
		},
	}, nil
}

func operations(names ...azkeys.KeyOperation) []*azkeys.KeyOperation {
	pointers := make([]*azkeys.KeyOperation, len(names))
	for number, name := range names {
		pointers[number] = &name
	}
	return pointers
}

func backUpAndRestore(w walker) error {
	key := named("walk-backed-up")
	if _, err := w.create(key); err != nil {
		return err
	}
	bundle, err := w.create(key)
	if err != nil {
		return err
	}
	backup, err := w.BackupKey(w, key.name, nil)
	if err != nil {
		return err
	}
	passed("backup")
	order := azkeys.RestoreKeyParameters{KeyBackup: backup.Value}
	if _, err := w.RestoreKey(w, order, nil); refused(err, 409) != nil {
		return refused(err, 409)
	}
	passed("restore", "refused over a key that is there")
	if _, err := w.DeleteKey(w, key.name, nil); err != nil {
		return err
	}
	if _, err := w.PurgeDeletedKey(w, key.name, nil); err != nil {
		return err
	}
	restored, err := w.RestoreKey(w, order, nil)
	if err != nil {
		return err
	}
	good := *restored.Key.KID == *bundle.Key.KID && bytes.Equal(restored.Key.X, bundle.Key.X)
	if err := check(good, "the key comes back"); err != nil {
		return err
	}
	passed("restore")
	return nil
}
