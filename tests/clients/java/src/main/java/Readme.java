import com.azure.identity.ClientSecretCredential;
import com.azure.identity.ClientSecretCredentialBuilder;
import com.azure.security.keyvault.keys.cryptography.CryptographyClient;
import com.azure.security.keyvault.keys.cryptography.CryptographyClientBuilder;
import com.azure.security.keyvault.keys.cryptography.models.SignatureAlgorithm;

public final class Readme {
    public static void main(String[] arguments) {
        ClientSecretCredential credential = new ClientSecretCredentialBuilder()
            .authorityHost(System.getenv("STRONGROOM_AUTHORITY_URL")).disableInstanceDiscovery()
            .tenantId(System.getenv("STRONGROOM_TENANT_ID"))
            .clientId(System.getenv("STRONGROOM_CLIENT_ID"))
            .clientSecret(System.getenv("STRONGROOM_CLIENT_SECRET"))
            .build();
        CryptographyClient signer = new CryptographyClientBuilder()
            .keyIdentifier(System.getenv("HSM_URL") + "/keys/sign-ec").credential(credential).buildClient();
        byte[] signature = signer.sign(SignatureAlgorithm.ES256, new byte[32]).getSignature();
        System.exit(0);
    }
}
