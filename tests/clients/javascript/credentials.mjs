// The ways to sign in, by name. Everything about the deployment comes from `client.env`.

import {
  ClientCertificateCredential,
  ClientSecretCredential,
  DefaultAzureCredential,
  ManagedIdentityCredential,
  WorkloadIdentityCredential,
} from "@azure/identity";

const { env } = process;

// What a credential must be told of an authority that is not Entra ID's.
const privateAuthority = () => ({ authorityHost: env.STRONGROOM_AUTHORITY_URL, disableInstanceDiscovery: true });

export const credentials = {
  certificate: () =>
    new ClientCertificateCredential(
      env.STRONGROOM_TENANT_ID,
      env.CERTIFICATE_CLIENT_ID,
      { certificatePath: env.CERTIFICATE_FILE },
      privateAuthority(),
    ),
  default: () => new DefaultAzureCredential(),
  managed: () => new ManagedIdentityCredential(),
  secret: () =>
    new ClientSecretCredential(
      env.STRONGROOM_TENANT_ID,
      env.STRONGROOM_CLIENT_ID,
      env.STRONGROOM_CLIENT_SECRET,
      privateAuthority(),
    ),
  // By the variables of the platform: AZURE_FEDERATED_TOKEN_FILE and the others.
  workload: () => new WorkloadIdentityCredential(),
};
