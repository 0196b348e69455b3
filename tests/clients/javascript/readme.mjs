import { DefaultAzureCredential } from "@azure/identity";
import { CryptographyClient, KeyClient } from "@azure/keyvault-keys";

const credential = new DefaultAzureCredential();
const keys = new KeyClient(process.env.HSM_URL, credential);
const signer = new CryptographyClient(await keys.getKey("sign-ec"), credential);
const { result } = await signer.sign("ES256", new Uint8Array(32));
