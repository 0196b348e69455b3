package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

// The module computes nothing by itself: all of this reaches the service.
func walkAlgorithms(w walker) error {
	for _, key := range w.ofEachType() {
		bundle, err := w.GetKey(w, key.name, "", nil)
		if err != nil {
			return err
		}
		id := bundle.Key.KID
		for _, algorithm := range azkeys.PossibleSignatureAlgorithmValues() {
			if fitsSignature(key, string(algorithm)) {
				if err := w.signAndVerify(id, algorithm); err != nil {
					return fmt.Errorf("%s %s: %w", key.name, algorithm, err)
				}
				passed("sign verify", key.name, algorithm)
			}
		}
		for _, algorithm := range azkeys.PossibleEncryptionAlgorithmValues() {
			if !fitsContent(key, string(algorithm)) {
				continue
			}
			if !strings.Contains(string(algorithm), "KW") && !strings.Contains(string(algorithm), "KEY_WRAP") {
				if err := w.encryptAndDecrypt(id, algorithm); err != nil {
					return fmt.Errorf("%s %s: %w", key.name, algorithm, err)
				}
				passed("encrypt decrypt", key.name, algorithm)
			}
			if !strings.Contains(string(algorithm), "GCM") && !strings.Contains(string(algorithm), "CBC") {
				if err := w.wrapAndUnwrap(id, algorithm); err != nil {
					return fmt.Errorf("%s %s: %w", key.name, algorithm, err)
				}
				passed("wrap unwrap", key.name, algorithm)
			}
		}
	}
	return nil
}

// signInAndSign is the little that shows that a credential works: a key is made, and signs.
func signInAndSign(w walker) error {
	bundle, err := w.create(named("walk-credential"))
	if err != nil {
		return err
	}
	if err := w.signAndVerify(bundle.Key.KID, azkeys.SignatureAlgorithmES256); err != nil {
		return err
	}
	passed("sign verify", "walk-credential", "ES256")
	return nil
}

func fitsSignature(key made, algorithm string) bool {
	switch key.kind {
	case azkeys.KeyTypeRSA:
		// The module lists RSNULL with no constant for it; strongroom does not offer it.
		return (strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")) && algorithm != "RSNULL"
	case azkeys.KeyTypeEC:
		curves := map[string]azkeys.CurveName{
			"ES256": azkeys.CurveNameP256, "ES256K": azkeys.CurveNameP256K,
			"ES384": azkeys.CurveNameP384, "ES512": azkeys.CurveNameP521,
		}
		return curves[algorithm] == key.curve
	}
	return key.size == 256 && strings.HasPrefix(algorithm, "HS")
}

func fitsContent(key made, algorithm string) bool {
	switch key.kind {
	case azkeys.KeyTypeRSA:
		return strings.HasPrefix(algorithm, "RSA")
	case azkeys.KeyTypeOct:
		return strings.HasPrefix(algorithm, fmt.Sprint("A", key.size)) ||
			(key.size == 256 && strings.HasPrefix(algorithm, "CKM_"))
	}
	return false
}

func (w walker) signAndVerify(id *azkeys.ID, algorithm azkeys.SignatureAlgorithm) error {
	value := digest(string(algorithm))
	order := azkeys.SignParameters{Algorithm: &algorithm, Value: value}
	signed, err := w.Sign(w, id.Name(), id.Version(), order, nil)
	if err != nil {
		return err
	}
	other := bytes.Clone(value)
	other[0] ^= 1
	for good, value := range map[bool][]byte{true: value, false: other} {
		order := azkeys.VerifyParameters{Algorithm: &algorithm, Digest: value, Signature: signed.Result}
		verified, err := w.Verify(w, id.Name(), id.Version(), order, nil)
		if err != nil {
			return err
		}
		if err := check(*verified.Value == good, "a signature is good for its own digest only"); err != nil {
			return err
		}
	}
	return nil
}

func (w walker) encryptAndDecrypt(id *azkeys.ID, algorithm azkeys.EncryptionAlgorithm) error {
	text := []byte("sixteen bytes ok")
	order := azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: text}
	if strings.Contains(string(algorithm), "GCM") {
		order.AdditionalAuthenticatedData = []byte("context")
	}
	if strings.Contains(string(algorithm), "CBC") {
		order.IV = random(16)
	}
	sealed, err := w.Encrypt(w, id.Name(), id.Version(), order, nil)
	if err != nil {
		return err
	}
	if strings.Contains(string(algorithm), "GCM") {
		order.IV, order.AuthenticationTag = sealed.IV, sealed.AuthenticationTag
	}
	order.Value = sealed.Result
	opened, err := w.Decrypt(w, id.Name(), id.Version(), order, nil)
	if err != nil {
		return err
	}
	return check(!bytes.Equal(sealed.Result, text) && bytes.Equal(opened.Result, text), "the text comes back")
}

func (w walker) wrapAndUnwrap(id *azkeys.ID, algorithm azkeys.EncryptionAlgorithm) error {
	contentKey := random(32)
	order := azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: contentKey}
	wrapped, err := w.WrapKey(w, id.Name(), id.Version(), order, nil)
	if err != nil {
		return err
	}
	order.Value = wrapped.Result
	unwrapped, err := w.UnwrapKey(w, id.Name(), id.Version(), order, nil)
	if err != nil {
		return err
	}
	good := !bytes.Equal(wrapped.Result, contentKey) && bytes.Equal(unwrapped.Result, contentKey)
	return check(good, "the key comes back")
}

// digest is one of the length that a signature algorithm takes.
func digest(algorithm string) []byte {
	switch algorithm[2:5] {
	case "384":
		sum := sha512.Sum384([]byte("strongroom"))
		return sum[:]
	case "512":
		sum := sha512.Sum512([]byte("strongroom"))
		return sum[:]
	}
	sum := sha256.Sum256([]byte("strongroom"))
	return sum[:]
}

func random(count int) []byte {
	bytes := make([]byte, count)
	_, _ = rand.Read(bytes) // it never fails
	return bytes
}

func drawRandomBytes(w walker) error {
	for _, count := range []int32{1, 16, 128} {
		drawn, err := w.GetRandomBytes(w, azkeys.GetRandomBytesParameters{Count: to.Ptr(count)}, nil)
		if err != nil {
			return err
		}
		if err := check(len(drawn.Value) == int(count), "there are ", len(drawn.Value), " random bytes"); err != nil {
			return err
		}
	}
	passed("random bytes")
	return nil
}
