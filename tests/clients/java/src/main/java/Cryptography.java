import com.azure.core.util.Context;
import com.azure.security.keyvault.keys.cryptography.CryptographyClient;
import com.azure.security.keyvault.keys.cryptography.CryptographyClientBuilder;
import com.azure.security.keyvault.keys.cryptography.models.DecryptParameters;
import com.azure.security.keyvault.keys.cryptography.models.EncryptParameters;
import com.azure.security.keyvault.keys.cryptography.models.EncryptResult;
import com.azure.security.keyvault.keys.cryptography.models.EncryptionAlgorithm;
import com.azure.security.keyvault.keys.cryptography.models.KeyWrapAlgorithm;
import com.azure.security.keyvault.keys.cryptography.models.SignatureAlgorithm;
import com.azure.security.keyvault.keys.models.KeyVaultKey;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Map;

/**
 * Every algorithm the package knows. With the right to read keys it computes by itself what the public key is enough
 * for; what needs the private key or a symmetric one reaches the service.
 */
final class Cryptography {
    private static final byte[] TEXT = "sixteen bytes ok".getBytes(StandardCharsets.UTF_8);
    private static final byte[] CONTEXT = "context".getBytes(StandardCharsets.UTF_8);
    private static final Map<String, String> CURVES =
        Map.of("ES256", "P-256", "ES256K", "P-256K", "ES384", "P-384", "ES512", "P-521");

    private Cryptography() {
    }

    static void walk(Walk walk) {
        for (Keys.Made made : Keys.ofEachType(walk)) {
            CryptographyClient client = client(walk, walk.client.getKey(made.name()));
            for (SignatureAlgorithm algorithm : SignatureAlgorithm.values()) {
                if (fitsSignature(made, algorithm.toString())) {
                    signAndVerify(client, algorithm);
                    Walk.passed("sign verify", made.name(), algorithm);
                }
            }
            for (EncryptionAlgorithm algorithm : EncryptionAlgorithm.values()) {
                if (isContent(algorithm.toString()) && fitsContent(made, algorithm.toString())) {
                    encryptAndDecrypt(client, algorithm.toString());
                    Walk.passed("encrypt decrypt", made.name(), algorithm);
                }
            }
            for (KeyWrapAlgorithm algorithm : KeyWrapAlgorithm.values()) {
                if (fitsContent(made, algorithm.toString())) {
                    wrapAndUnwrap(client, algorithm);
                    Walk.passed("wrap unwrap", made.name(), algorithm);
                }
            }
        }
    }

    /** The little that shows that a credential works: a key is made, and signs. */
    static void signInAndSign(Walk walk) {
        signAndVerify(client(walk, Keys.p256("walk-credential").create(walk)), SignatureAlgorithm.ES256);
        Walk.passed("sign verify", "walk-credential", "ES256");
    }

    private static CryptographyClient client(Walk walk, KeyVaultKey key) {
        return new CryptographyClientBuilder().keyIdentifier(key.getId()).credential(walk.credential).buildClient();
    }

    private static boolean fitsSignature(Keys.Made made, String algorithm) {
        return switch (made.kind()) {
            case "RSA" -> algorithm.startsWith("RS") || algorithm.startsWith("PS");
            case "EC" -> made.curve().equals(CURVES.get(algorithm));
            default -> made.size() == 256 && algorithm.startsWith("HS");
        };
    }

    /** The package lists those of key wrap among them, and three that no service offers. */
    private static boolean isContent(String algorithm) {
        return !algorithm.endsWith("KW") && !algorithm.contains("-HS");
    }

    private static boolean fitsContent(Keys.Made made, String algorithm) {
        return switch (made.kind()) {
            case "RSA" -> algorithm.startsWith("RSA");
            case "oct" -> algorithm.startsWith("A" + made.size())
                || (made.size() == 256 && algorithm.startsWith("CKM_"));
            default -> false;
        };
    }

    private static void signAndVerify(CryptographyClient client, SignatureAlgorithm algorithm) {
        byte[] digest = digest(algorithm.toString());
        byte[] signature = client.sign(algorithm, digest).getSignature();
        Walk.check(client.verify(algorithm, digest, signature).isValid(), "the signature is good");
        digest[0] ^= 1;
        Walk.check(!client.verify(algorithm, digest, signature).isValid(), "it is not good for another digest");
    }

    private static void encryptAndDecrypt(CryptographyClient client, String algorithm) {
        byte[] iv = random(16);
        EncryptResult sealed = client.encrypt(switch (algorithm) {
            case "A128GCM" -> EncryptParameters.createA128GcmParameters(TEXT, CONTEXT);
            case "A192GCM" -> EncryptParameters.createA192GcmParameters(TEXT, CONTEXT);
            case "A256GCM" -> EncryptParameters.createA256GcmParameters(TEXT, CONTEXT);
            case "A128CBC" -> EncryptParameters.createA128CbcParameters(TEXT, iv);
            case "A192CBC" -> EncryptParameters.createA192CbcParameters(TEXT, iv);
            case "A256CBC" -> EncryptParameters.createA256CbcParameters(TEXT, iv);
            case "A128CBCPAD" -> EncryptParameters.createA128CbcPadParameters(TEXT, iv);
            case "A192CBCPAD" -> EncryptParameters.createA192CbcPadParameters(TEXT, iv);
            case "A256CBCPAD" -> EncryptParameters.createA256CbcPadParameters(TEXT, iv);
            case "RSA1_5" -> EncryptParameters.createRsa15Parameters(TEXT);
            case "RSA-OAEP" -> EncryptParameters.createRsaOaepParameters(TEXT);
            case "RSA-OAEP-256" -> EncryptParameters.createRsaOaep256Parameters(TEXT);
            default -> throw new AssertionError(algorithm);
        }, Context.NONE);
        byte[] text = sealed.getCipherText();
        byte[] drawn = sealed.getIv();
        byte[] tag = sealed.getAuthenticationTag();
        byte[] opened = client.decrypt(switch (algorithm) {
            case "A128GCM" -> DecryptParameters.createA128GcmParameters(text, drawn, tag, CONTEXT);
            case "A192GCM" -> DecryptParameters.createA192GcmParameters(text, drawn, tag, CONTEXT);
            case "A256GCM" -> DecryptParameters.createA256GcmParameters(text, drawn, tag, CONTEXT);
            case "A128CBC" -> DecryptParameters.createA128CbcParameters(text, iv);
            case "A192CBC" -> DecryptParameters.createA192CbcParameters(text, iv);
            case "A256CBC" -> DecryptParameters.createA256CbcParameters(text, iv);
            case "A128CBCPAD" -> DecryptParameters.createA128CbcPadParameters(text, iv);
            case "A192CBCPAD" -> DecryptParameters.createA192CbcPadParameters(text, iv);
            case "A256CBCPAD" -> DecryptParameters.createA256CbcPadParameters(text, iv);
            case "RSA1_5" -> DecryptParameters.createRsa15Parameters(text);
            case "RSA-OAEP" -> DecryptParameters.createRsaOaepParameters(text);
            case "RSA-OAEP-256" -> DecryptParameters.createRsaOaep256Parameters(text);
            default -> throw new AssertionError(algorithm);
        }, Context.NONE).getPlainText();
        Walk.check(!Arrays.equals(text, TEXT) && Arrays.equals(opened, TEXT), "the text comes back");
    }

    private static void wrapAndUnwrap(CryptographyClient client, KeyWrapAlgorithm algorithm) {
        byte[] contentKey = random(32);
        byte[] wrapped = client.wrapKey(algorithm, contentKey).getEncryptedKey();
        byte[] unwrapped = client.unwrapKey(algorithm, wrapped).getKey();
        Walk.check(!Arrays.equals(wrapped, contentKey) && Arrays.equals(unwrapped, contentKey), "the key comes back");
    }

    /** A digest of the length that a signature algorithm takes. */
    private static byte[] digest(String algorithm) {
        try {
            return MessageDigest.getInstance("SHA-" + algorithm.substring(2, 5)).digest(CONTEXT);
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    static byte[] random(int count) {
        byte[] bytes = new byte[count];
        new SecureRandom().nextBytes(bytes);
        return bytes;
    }
}
