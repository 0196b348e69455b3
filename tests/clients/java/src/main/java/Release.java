import com.azure.core.util.BinaryData;
import com.azure.core.util.Context;
import com.azure.security.keyvault.keys.models.CreateKeyOptions;
import com.azure.security.keyvault.keys.models.KeyAttestation;
import com.azure.security.keyvault.keys.models.KeyExportEncryptionAlgorithm;
import com.azure.security.keyvault.keys.models.KeyReleasePolicy;
import com.azure.security.keyvault.keys.models.KeyVaultKey;
import com.azure.security.keyvault.keys.models.ReleaseKeyOptions;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;

/** Key attestation and secure key release. */
final class Release {
    private static final String POLICY = """
        {"version": "1.0.0", "anyOf": [{"authority": "%s", "allOf": [
          {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}]}]}""";

    private Release() {
    }

    static void attestAndRelease(Walk walk) {
        Keys.Made attested = new Keys.Made("walk-attested", "RSA", 2048, null);
        KeyVaultKey key = attested.create(walk);
        KeyVaultKey read = walk.client.getKeyAttestation(attested.name());
        KeyAttestation attestation = read.getProperties().getKeyAttestation();
        Walk.check(read.getId().equals(key.getId()) && attestation.getPrivateKeyAttestation().length > 0, "attested");
        Walk.passed("get attestation", attestation.getVersion());
        release(walk, new Keys.Made("walk-released-rsa", "RSA", 2048, null));
        release(walk, Keys.p256("walk-released-ec"));
    }

    private static void release(Walk walk, Keys.Made made) {
        String grammar = POLICY.formatted(System.getenv("ATTESTATION_AUTHORITY"));
        KeyReleasePolicy policy = new KeyReleasePolicy(BinaryData.fromString(grammar)).setImmutable(true);
        CreateKeyOptions options = made.options(walk).setExportable(true).setReleasePolicy(policy);
        KeyVaultKey key = Keys.create(walk, options);
        Walk.check(key.getProperties().getReleasePolicy().isImmutable(), "the policy is kept");

        for (KeyExportEncryptionAlgorithm algorithm : List.of(KeyExportEncryptionAlgorithm.CKM_RSA_AES_KEY_WRAP,
            KeyExportEncryptionAlgorithm.RSA_AES_KEY_WRAP_256, KeyExportEncryptionAlgorithm.RSA_AES_KEY_WRAP_384)) {
            ReleaseKeyOptions wanted = new ReleaseKeyOptions().setAlgorithm(algorithm).setNonce("n-1");
            String jws = walk.client.releaseKeyWithResponse(made.name(), key.getProperties().getVersion(),
                System.getenv("ATTESTATION_TOKEN"), wanted, Context.NONE).getValue().getValue();
            String payload = new String(Base64.getUrlDecoder().decode(jws.split("\\.")[1]), StandardCharsets.UTF_8);
            for (String part : List.of(algorithm.toString(), key.getId(), "n-1", "key_hsm")) {
                Walk.check(payload.contains(part), part);
            }
            Walk.passed("release", made.name(), algorithm);
        }
    }
}
