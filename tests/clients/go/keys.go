package main

import (
	"bytes"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

// made is a key of the walk: its name, and what its making needs.
type made struct {
	name  string
	kind  azkeys.KeyType
	size  int32
	curve azkeys.CurveName
}

// One of each type; the chapter on cryptography uses them.
var everyType = []made{
	{name: "walk-rsa-2048", kind: azkeys.KeyTypeRSA, size: 2048},
	{name: "walk-rsa-3072", kind: azkeys.KeyTypeRSA, size: 3072},
	{name: "walk-rsa-4096", kind: azkeys.KeyTypeRSA, size: 4096},
	{name: "walk-ec-p-256", kind: azkeys.KeyTypeEC, curve: azkeys.CurveNameP256},
	{name: "walk-ec-p-256k", kind: azkeys.KeyTypeEC, curve: azkeys.CurveNameP256K},
	{name: "walk-ec-p-384", kind: azkeys.KeyTypeEC, curve: azkeys.CurveNameP384},
	{name: "walk-ec-p-521", kind: azkeys.KeyTypeEC, curve: azkeys.CurveNameP521},
	{name: "walk-oct-128", kind: azkeys.KeyTypeOct, size: 128},
	{name: "walk-oct-192", kind: azkeys.KeyTypeOct, size: 192},
	{name: "walk-oct-256", kind: azkeys.KeyTypeOct, size: 256},
}

const page = 25

// ofEachType are the keys that a service of this kind can hold.
func (w walker) ofEachType() []made {
	if w.vault {
		return everyType[:7]
	}
	return everyType
}

// keyType is the type a key gets here.
func (w walker) keyType(kind azkeys.KeyType) azkeys.KeyType {
	if w.vault {
		return kind
	}
	return kind + "-HSM"
}

func (w walker) parameters(key made) azkeys.CreateKeyParameters {
	parameters := azkeys.CreateKeyParameters{Kty: to.Ptr(w.keyType(key.kind))}
	if key.size > 0 {
		parameters.KeySize = to.Ptr(key.size)
	}
	if key.curve != "" {
		parameters.Curve = to.Ptr(key.curve)
	}
	return parameters
}

func (w walker) create(key made) (azkeys.KeyBundle, error) {
	response, err := w.CreateKey(w, key.name, w.parameters(key), nil)
	return response.KeyBundle, err
}

// named is a P-256 key of some name.
func named(name string) made {
	return made{name: name, kind: azkeys.KeyTypeEC, curve: azkeys.CurveNameP256}
}

func walkKeys(w walker) error {
	for _, key := range w.ofEachType() {
		bundle, err := w.create(key)
		if err != nil {
			return err
		}
		if err := check(*bundle.Key.Kty == w.keyType(key.kind), key.name, " is ", *bundle.Key.Kty); err != nil {
			return err
		}
		passed("create", key.name)
	}
	for _, step := range []func(walker) error{readAndUpdate, listVersions, listPages, deleteRecoverPurge} {
		if err := step(w); err != nil {
			return err
		}
	}
	return nil
}

func readAndUpdate(w walker) error {
	key := named("walk-versions")
	parameters := w.parameters(key)
	parameters.Tags = map[string]*string{"step": to.Ptr("1")}
	first, err := w.CreateKey(w, key.name, parameters, nil)
	if err != nil {
		return err
	}
	second, err := w.create(key)
	if err != nil {
		return err
	}
	latest, err := w.GetKey(w, key.name, "", nil)
	if err != nil {
		return err
	}
	old, err := w.GetKey(w, key.name, first.Key.KID.Version(), nil)
	if err != nil {
		return err
	}
	if err := check(*latest.Key.KID == *second.Key.KID, "the latest version is read"); err != nil {
		return err
	}
	if err := check(*old.Tags["step"] == "1" && bytes.Equal(old.Key.X, first.Key.X), "an old one stays"); err != nil {
		return err
	}
	passed("get")
	expires := time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC)
	change := azkeys.UpdateKeyParameters{
		KeyAttributes: &azkeys.KeyAttributes{
			Enabled:   to.Ptr(false),
			Expires:   to.Ptr(expires),
			NotBefore: to.Ptr(expires.AddDate(0, 0, -1)),
		},
		KeyOps: []*azkeys.KeyOperation{to.Ptr(azkeys.KeyOperationVerify)},
		Tags:   map[string]*string{"step": to.Ptr("2")},
	}
	if _, err := w.UpdateKey(w, key.name, first.Key.KID.Version(), change, nil); err != nil {
		return err
	}
	read, err := w.GetKey(w, key.name, first.Key.KID.Version(), nil)
	if err != nil {
		return err
	}
	found := read.Attributes
	good := !*found.Enabled && found.Expires.Equal(expires) && found.NotBefore.Before(expires) && *read.Tags["step"] == "2"
	operations := read.Key.KeyOps
	if err := check(good && len(operations) == 1 && *operations[0] == azkeys.KeyOperationVerify, "changed"); err != nil {
		return err
	}
	passed("update")
	return nil
}

func listVersions(w walker) error {
	count := 0
	for pager := w.NewListKeyPropertiesVersionsPager("walk-versions", nil); pager.More(); {
		page, err := pager.NextPage(w)
		if err != nil {
			return err
		}
		count += len(page.Value)
	}
	passed("list versions")
	return check(count == 2, "there are ", count, " versions")
}

func listPages(w walker) error {
	names := map[string]bool{}
	for number := 0; number <= page; number++ {
		name := "walk-page-" + string(rune('a'+number))
		names[name] = true
		if _, err := w.create(named(name)); err != nil {
			return err
		}
	}
	found, pages := map[string]bool{}, 0
	for pager := w.NewListKeyPropertiesPager(nil); pager.More(); pages++ {
		answer, err := pager.NextPage(w)
		if err != nil {
			return err
		}
		for _, key := range answer.Value {
			if err := check(!found[key.KID.Name()], key.KID.Name(), " is listed twice"); err != nil {
				return err
			}
			found[key.KID.Name()] = true
		}
	}
	if err := check(pages > 1 && holds(found, names), pages, " pages list ", len(found), " keys"); err != nil {
		return err
	}
	passed("list", pages, "pages")
	for name := range names {
		if _, err := w.DeleteKey(w, name, nil); err != nil {
			return err
		}
	}
	deleted, pages := map[string]bool{}, 0
	for pager := w.NewListDeletedKeyPropertiesPager(nil); pager.More(); pages++ {
		answer, err := pager.NextPage(w)
		if err != nil {
			return err
		}
		for _, key := range answer.Value {
			deleted[key.KID.Name()] = true
		}
	}
	if err := check(pages > 1 && holds(deleted, names), pages, " pages list the deleted keys"); err != nil {
		return err
	}
	passed("list deleted", pages, "pages")
	for name := range names {
		if _, err := w.PurgeDeletedKey(w, name, nil); err != nil {
			return err
		}
	}
	return nil
}

func holds(all, some map[string]bool) bool {
	for name := range some {
		if !all[name] {
			return false
		}
	}
	return true
}

func deleteRecoverPurge(w walker) error {
	key := named("walk-deleted")
	bundle, err := w.create(key)
	if err != nil {
		return err
	}
	deleted, err := w.DeleteKey(w, key.name, nil)
	if err != nil {
		return err
	}
	good := deleted.RecoveryID != nil && deleted.ScheduledPurgeDate.After(*deleted.DeletedDate)
	if err := check(good, "a deleted key can be recovered and is purged later"); err != nil {
		return err
	}
	passed("delete")
	shown, err := w.GetDeletedKey(w, key.name, nil)
	if err != nil {
		return err
	}
	if err := check(*shown.Key.KID == *bundle.Key.KID, "the deleted key is shown"); err != nil {
		return err
	}
	passed("get deleted")
	if _, err := w.create(key); refused(err, 409) != nil {
		return refused(err, 409)
	}
	passed("create", "refused while deleted")
	recovered, err := w.RecoverDeletedKey(w, key.name, nil)
	if err != nil {
		return err
	}
	if err := check(*recovered.Key.KID == *bundle.Key.KID, "the same key comes back"); err != nil {
		return err
	}
	passed("recover")
	if _, err := w.DeleteKey(w, key.name, nil); err != nil {
		return err
	}
	if _, err := w.PurgeDeletedKey(w, key.name, nil); err != nil {
		return err
	}
	if _, err := w.GetKey(w, key.name, "", nil); refused(err, 404) != nil {
		return refused(err, 404)
	}
	if _, err := w.GetDeletedKey(w, key.name, nil); refused(err, 404) != nil {
		return refused(err, 404)
	}
	passed("purge")
	return nil
}
