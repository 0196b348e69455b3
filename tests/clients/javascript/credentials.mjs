// The ways to sign in, by name. Everything about the deployment comes from `client.env`.

import {
  ClientSecretCredential,
  DefaultAzureCredential,
  ManagedIdentityCredential,
  WorkloadIdentityCredential,
} from "@azure/identity";

const { env } = process;

// What a credential must be told of an authority that is not Entra ID's.
const privateAuthority = () => ({ authorityHost: env.STRONGROOM_AUTHORITY_URL, disableInstanceDiscovery: true });

export const credentials = {
  default: () => new DefaultAzureCredential(),
  managed: () => new ManagedIdentityCredential(),
  secret: () =>
    new ClientSecretCredential(
      env.STRONGROOM_TENANT_ID,
      env.STRONGROOM_CLIENT_ID,
      env.STRONGROOM_CLIENT_SECRET,
      privateAuthority(),
    ),
  workload: () =>
    new WorkloadIdentityCredential({
      tenantId: env.STRONGROOM_TENANT_ID,
      clientId: env.WORKLOAD_CLIENT_ID,
      tokenFilePath: env.WORKLOAD_TOKEN_FILE,
      ...privateAuthority(),
    }),
};
