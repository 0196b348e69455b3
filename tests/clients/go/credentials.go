package main

import (
	"fmt"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// signIn makes a credential by its name. Everything about the deployment comes from client.env.
func signIn(name string) (azcore.TokenCredential, error) {
	// An authority that is not Entra ID's: it is named, and nobody else is asked about it.
	options := azcore.ClientOptions{
		Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: os.Getenv("STRONGROOM_AUTHORITY_URL")},
	}
	switch name {
	case "default":
		return azidentity.NewDefaultAzureCredential(nil)
	case "managed":
		return azidentity.NewManagedIdentityCredential(nil)
	case "secret":
		return azidentity.NewClientSecretCredential(
			os.Getenv("STRONGROOM_TENANT_ID"),
			os.Getenv("STRONGROOM_CLIENT_ID"),
			os.Getenv("STRONGROOM_CLIENT_SECRET"),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true},
		)
	case "workload":
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions:            options,
			DisableInstanceDiscovery: true,
			TenantID:                 os.Getenv("STRONGROOM_TENANT_ID"),
			ClientID:                 os.Getenv("WORKLOAD_CLIENT_ID"),
			TokenFilePath:            os.Getenv("WORKLOAD_TOKEN_FILE"),
		})
	}
	return nil, fmt.Errorf("there is no credential %s", name)
}
