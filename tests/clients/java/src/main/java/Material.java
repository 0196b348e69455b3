import com.azure.security.keyvault.keys.KeyClient;
import com.azure.security.keyvault.keys.models.ImportKeyOptions;
import com.azure.security.keyvault.keys.models.JsonWebKey;
import com.azure.security.keyvault.keys.models.KeyOperation;
import com.azure.security.keyvault.keys.models.KeyRotationLifetimeAction;
import com.azure.security.keyvault.keys.models.KeyRotationPolicy;
import com.azure.security.keyvault.keys.models.KeyRotationPolicyAction;
import com.azure.security.keyvault.keys.models.KeyVaultKey;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.KeyPairGenerator;
import java.security.Security;
import java.security.spec.ECGenParameterSpec;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.crypto.spec.SecretKeySpec;

/** What makes, replaces and moves key material: import, rotation, backup and restore; random bytes. */
final class Material {
    private Material() {
    }

    static void drawRandomBytes(Walk walk) {
        for (int count : new int[] {1, 16, 128}) {
            Walk.check(walk.client.getRandomBytes(count).length == count, count);
        }
        Walk.passed("random bytes");
    }

    static void rotate(Walk walk) {
        KeyClient client = walk.client;
        Keys.Made made = Keys.p256("walk-rotated");
        KeyVaultKey first = made.create(walk);
        KeyRotationPolicy policy = new KeyRotationPolicy().setExpiresIn("P90D").setLifetimeActions(
            List.of(new KeyRotationLifetimeAction(KeyRotationPolicyAction.ROTATE).setTimeAfterCreate("P30D")));
        KeyRotationPolicy set = client.updateKeyRotationPolicy(made.name(), policy);
        Walk.passed("update rotation policy");
        for (KeyRotationPolicy found : List.of(set, client.getKeyRotationPolicy(made.name()))) {
            boolean rotates = found.getLifetimeActions().stream()
                .anyMatch(it -> it.getAction().toString().equalsIgnoreCase("rotate") && "P30D".equals(it.getTimeAfterCreate()));
            Walk.check(rotates && "P90D".equals(found.getExpiresIn()), "the policy is kept");
        }
        Walk.passed("get rotation policy");
        KeyVaultKey second = client.rotateKey(made.name());
        Walk.check(!second.getId().equals(first.getId()), "there is a new version");
        Walk.check(!Arrays.equals(second.getKey().getX(), first.getKey().getX()), "with a new key");
        Walk.check(second.getProperties().getExpiresOn() != null, "that expires");
        Walk.passed("rotate");
    }

    static void importEachType(Walk walk) {
        for (Map.Entry<String, JsonWebKey> entry : privateKeys(walk.vault).entrySet()) {
            JsonWebKey jwk = entry.getValue();
            String name = "walk-imported-" + entry.getKey().toLowerCase();
            ImportKeyOptions options = new ImportKeyOptions(name, jwk).setHardwareProtected(!walk.vault);
            JsonWebKey found = walk.client.importKey(options).getKey();
            Walk.check(found.getKeyType().toString().equals(Keys.keyType(walk, entry.getKey())), found.getKeyType());
            Walk.check(same(found.getN(), jwk.getN()) && same(found.getX(), jwk.getX()), "the public part");
            Walk.check(found.getD() == null && found.getK() == null, "and no other");
            Walk.passed("import", entry.getKey());
        }
    }

    /** The package sends numbers with the sign byte of Java's own; as numbers they are the same. */
    private static boolean same(byte[] one, byte[] other) {
        return one == null || other == null ? one == other : new BigInteger(1, one).equals(new BigInteger(1, other));
    }

    private static Map<String, JsonWebKey> privateKeys(boolean vault) {
        Map<String, JsonWebKey> keys = new LinkedHashMap<>();
        try {
            KeyPairGenerator rsa = KeyPairGenerator.getInstance("RSA");
            rsa.initialize(2048);
            keys.put("RSA", JsonWebKey.fromRsa(rsa.generateKeyPair(), List.of(KeyOperation.SIGN, KeyOperation.VERIFY)));
            KeyPairGenerator ec = KeyPairGenerator.getInstance("EC");
            ec.initialize(new ECGenParameterSpec("secp256r1"));
            List<KeyOperation> signs = List.of(KeyOperation.SIGN, KeyOperation.VERIFY);
            keys.put("EC", JsonWebKey.fromEc(ec.generateKeyPair(), Security.getProvider("SunEC"), signs));
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
        if (!vault) {
            SecretKeySpec aes = new SecretKeySpec(Cryptography.random(32), "AES");
            keys.put("oct", JsonWebKey.fromAes(aes, List.of(KeyOperation.ENCRYPT, KeyOperation.DECRYPT)));
        }
        return keys;
    }

    static void backUpAndRestore(Walk walk) {
        KeyClient client = walk.client;
        Keys.Made made = Keys.p256("walk-backed-up");
        made.create(walk);
        KeyVaultKey key = made.create(walk);
        byte[] blob = client.backupKey(made.name());
        Walk.passed("backup");
        Walk.refused(() -> client.restoreKeyBackup(blob), 409);
        Walk.passed("restore", "refused over a key that is there");
        Keys.delete(walk, made.name());
        client.purgeDeletedKey(made.name());
        KeyVaultKey restored = client.restoreKeyBackup(blob);
        Walk.check(restored.getId().equals(key.getId()), restored.getId());
        Walk.check(client.listPropertiesOfKeyVersions(made.name()).stream().count() == 2, "all versions come back");
        Walk.passed("restore");
    }
}
