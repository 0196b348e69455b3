package main

import (
	"context"
	"log"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

func main() {
	authority := cloud.Configuration{ActiveDirectoryAuthorityHost: os.Getenv("STRONGROOM_AUTHORITY_URL")}
	credential, err := azidentity.NewClientSecretCredential(os.Getenv("STRONGROOM_TENANT_ID"),
		os.Getenv("STRONGROOM_CLIENT_ID"), os.Getenv("STRONGROOM_CLIENT_SECRET"),
		&azidentity.ClientSecretCredentialOptions{
			ClientOptions:            azcore.ClientOptions{Cloud: authority},
			DisableInstanceDiscovery: true,
		})
	if err != nil {
		log.Fatal(err)
	}
	keys, err := azkeys.NewClient(os.Getenv("HSM_URL"), credential, nil)
	if err != nil {
		log.Fatal(err)
	}
	digest := azkeys.SignParameters{Algorithm: to.Ptr(azkeys.SignatureAlgorithmES256), Value: make([]byte, 32)}
	if _, err := keys.Sign(context.Background(), "sign-ec", "", digest, nil); err != nil {
		log.Fatal(err)
	}
}
