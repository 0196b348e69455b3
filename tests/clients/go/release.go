package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

func attestAndRelease(w walker) error {
	attested, err := w.create(made{name: "walk-attested", kind: azkeys.KeyTypeRSA, size: 2048})
	if err != nil {
		return err
	}
	read, err := w.GetKeyAttestation(w, "walk-attested", attested.Key.KID.Version(), nil)
	if err != nil {
		return err
	}
	attestation := read.Attributes.Attestation
	good := attestation != nil && attestation.Version != nil && len(attestation.PrivateKeyAttestation) > 0
	if err := check(good, "the attestation is whole"); err != nil {
		return err
	}
	passed("get attestation", *attestation.Version)
	keys := []made{
		{name: "walk-released-rsa", kind: azkeys.KeyTypeRSA, size: 2048},
		{name: "walk-released-ec", kind: azkeys.KeyTypeEC, curve: azkeys.CurveNameP256},
	}
	for _, key := range keys {
		if err := w.release(key); err != nil {
			return err
		}
	}
	return nil
}

func (w walker) release(key made) error {
	policy, err := json.Marshal(map[string]any{
		"version": "1.0.0",
		"anyOf": []any{map[string]any{
			"authority": os.Getenv("ATTESTATION_AUTHORITY"),
			"allOf":     []any{map[string]any{"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}},
		}},
	})
	if err != nil {
		return err
	}
	parameters := w.parameters(key)
	parameters.KeyAttributes = &azkeys.KeyAttributes{Exportable: to.Ptr(true)}
	parameters.ReleasePolicy = &azkeys.KeyReleasePolicy{EncodedPolicy: policy, Immutable: to.Ptr(true)}
	bundle, err := w.CreateKey(w, key.name, parameters, nil)
	if err != nil {
		return err
	}
	for _, algorithm := range azkeys.PossibleKeyEncryptionAlgorithmValues() {
		order := azkeys.ReleaseParameters{
			Algorithm:              &algorithm,
			Nonce:                  to.Ptr("n-1"),
			TargetAttestationToken: to.Ptr(os.Getenv("ATTESTATION_TOKEN")),
		}
		released, err := w.Release(w, key.name, "", order, nil)
		if err != nil {
			return err
		}
		if err := checkReleased(*released.Value, string(*bundle.Key.KID), string(algorithm)); err != nil {
			return err
		}
		passed("release", key.name, algorithm)
	}
	return nil
}

func checkReleased(jws, id, algorithm string) error {
	parts := strings.Split(jws, ".")
	if err := check(len(parts) == 3, "a JWS has three parts"); err != nil {
		return err
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	var payload struct {
		Request  struct{ Enc, Kid, Nonce string }
		Response struct {
			Key struct {
				Key struct {
					KeyHSM string `json:"key_hsm"`
				}
			}
		}
	}
	if err := json.Unmarshal(text, &payload); err != nil {
		return err
	}
	request := payload.Request
	good := request.Enc == algorithm && request.Kid == id && request.Nonce == "n-1"
	return check(good && payload.Response.Key.Key.KeyHSM != "", "the released key is the one asked for")
}
