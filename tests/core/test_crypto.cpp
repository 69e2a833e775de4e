#include "core/crypto.h"

#include "core/text.h"
#include "moat_test.h"

namespace moat::test {
namespace {

// Made with openssl(1): a P-256 key in PKCS#8, its public half, a signature over "moat\n", and
// keys of other kinds.
constexpr const char* openssl_pkcs8 =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1l/9nItQYZoUcqE2\n"
    "qds7OZfoQaBV6Y0dArUcDIqxv8WhRANCAARXAYCB1TpNn+WoMQVdg5yYKyh0i/C7\n"
    "RywVA5RfMifUpoOs0CfmSBjgIiUrDRufliCuqCsYANAf/6Q5O0Sgxzf8\n"
    "-----END PRIVATE KEY-----\n";

constexpr const char* openssl_public =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEVwGAgdU6TZ/lqDEFXYOcmCsodIvw\n"
    "u0csFQOUXzIn1KaDrNAn5kgY4CIlKw0bn5YgrqgrGADQH/+kOTtEoMc3/A==\n"
    "-----END PUBLIC KEY-----\n";

constexpr const char* openssl_signature =
    "MEYCIQC8RrSFn0Mdl8nibmztjs7YpBqTPrb4ZhXtI0OLtp5u6AIhANYuUAD4UJ/VCOisr5fGbOSWvaHXuKIUHGRY8aitz/"
    "Jb";

constexpr const char* openssl_secp256k1 =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgWZqrZ3ddvyvQM2Ag2a+T\n"
    "3WvR8jlgfLCiWy1bM9jXyFahRANCAAQxjz1KT3i9AqkmAxpyOhKo//TskWdIOR8q\n"
    "gCPBVqjNWIoEC2ALbCnUl+eTSQ55bPNDf4aGE3aIgHv7wxVA2fMn\n"
    "-----END PRIVATE KEY-----\n";

constexpr const char* openssl_secp256k1_public =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEMY89Sk94vQKpJgMacjoSqP/07JFnSDkf\n"
    "KoAjwVaozViKBAtgC2wp1Jfnk0kOeWzzQ3+GhhN2iIB7+8MVQNnzJw==\n"
    "-----END PUBLIC KEY-----\n";

constexpr const char* openssl_p384 =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDD4vmPVKdrqzG4Yiyt1\n"
    "Dign0iHkWJVFKW4lodpTJZxCrt1r0Mxr+DX7T8sX63/ETQehZANiAATOpUCzfn/P\n"
    "ed2L7IsU1Y+I4nkAy8KcEVMm6xrS1XPp2X5AzGJiQUo/KuUBbWCzMrYl/xUVniKO\n"
    "nUv4nMzId2VLuiwb7ClW0FlfNq4QAGPDDhOKdmN2YuatidAE8fmyirI=\n"
    "-----END PRIVATE KEY-----\n";

constexpr const char* openssl_encrypted =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhIBt9zZwLFLQICCAAw\n"
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEA0PQEqA67gc+yVsFkjDVM8EgZBd\n"
    "js8kuyu4ON3JJLG5HUP9J3PrJJD6AdWrkJ+M997x78jeWr6sRPQ1/K4vhCYTJfTt\n"
    "i8cu1aUHstAHIK75IW8ZbTuD7EE/4ogJxnfSbKcJLbIBoy8Wm+OlHv1x40hBYV6f\n"
    "M/NxEI3SxPy0rEf2MZSe7ZjVAG9zggRnDHEWW8a8CR1ZfTScntQ4/kHX1kUyvCM=\n"
    "-----END ENCRYPTED PRIVATE KEY-----\n";

struct CryptoTest {
  Secret key{random_bytes(32)};
  Secret other{random_bytes(32)};
  Result<std::string> sealed = Error{};
  Result<Secret> opened = Error{};
  Result<SigningKey> signer = Error{};
  Result<SigningKey> again = Error{};
  Result<std::string> signature = Error{};
  Result<std::string> der = Error{};
  std::string text;
};

void sha1_is_that_of_fips_180(CryptoTest& t) {
  t.text = hex(sha1({"a", "", "bc"}));
  assert_string_equal(t.text.c_str(), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

void sha256_is_that_of_fips_180(CryptoTest& t) {
  t.text = hex(view(sha256("abc")));
  assert_string_equal(t.text.c_str(),
                      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  t.text = hex(view(sha256("")));
  assert_string_equal(t.text.c_str(),
                      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

void a_digest_of_pieces_is_that_of_the_whole(CryptoTest&) {
  const bool same =
      sha256({"a", "", std::string_view("b\0", 2), "c"}) == sha256(std::string_view("ab\0c", 4));
  assert_true(same);
}

void random_bytes_do_not_repeat(CryptoTest& t) {
  t.text = random_bytes(32);
  assert_int_equal(t.text.size(), 32);
  const bool other = t.text != random_bytes(32);
  assert_true(other);
  unsigned char big[5000] = {};
  assert_int_equal(random_for_mbedtls(nullptr, big, sizeof big), 0);
  size_t zeros = 0;
  for (const unsigned char c : big) zeros += c == 0 ? 1 : 0;
  assert_true(zeros < 200);
}

void what_is_sealed_opens_with_the_same_key_and_data(CryptoTest& t) {
  for (const char* plain : {"", "a", "ghp_0123456789"}) {
    t.sealed = seal_aes256gcm(t.key, plain, "github");
    assert_true(t.sealed.has_value());
    assert_int_equal(t.sealed->size(), 12 + std::string_view(plain).size() + 16);
    t.opened = open_aes256gcm(t.key, *t.sealed, "github");
    assert_true(t.opened.has_value());
    assert_true(t.opened->equals(plain));
  }
}

void sealing_twice_gives_different_bytes(CryptoTest& t) {
  t.sealed = seal_aes256gcm(t.key, "plain", "");
  t.text = *t.sealed;
  t.sealed = seal_aes256gcm(t.key, "plain", "");
  const bool different = t.text.substr(0, 12) != t.sealed->substr(0, 12);
  assert_true(different);
}

void anything_changed_is_found(CryptoTest& t) {
  t.sealed = seal_aes256gcm(t.key, "plain", "name");
  t.opened = open_aes256gcm(t.other, *t.sealed, "name");
  assert_int_equal(t.opened.error().code, Errc::tampered);
  t.opened = open_aes256gcm(t.key, *t.sealed, "eman");
  assert_int_equal(t.opened.error().code, Errc::tampered);
  for (size_t i = 0; i < t.sealed->size(); ++i) {
    t.text = *t.sealed;
    t.text[i] = static_cast<char>(t.text[i] ^ 1);
    t.opened = open_aes256gcm(t.key, t.text, "name");
    assert_int_equal(t.opened.error().code, Errc::tampered);
    t.opened = open_aes256gcm(t.key, t.sealed->substr(0, i), "name");
    assert_int_equal(t.opened.error().code, Errc::tampered);
  }
}

void a_key_of_another_size_is_refused(CryptoTest& t) {
  for (const size_t size : {0, 16, 31, 33}) {
    t.sealed = seal_aes256gcm(Secret(std::string(size, 'k')), "plain", "");
    assert_int_equal(t.sealed.error().code, Errc::invalid);
  }
}

// NIST SP 800-38D, test case 16 of the GCM specification's AES-256 vectors.
void a_known_ciphertext_opens(CryptoTest& t) {
  t.key = Secret(*from_hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
  t.text = *from_hex(
      "cafebabefacedbaddecaf888"
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b105682"
      "88"
      "38c5f61e6393ba7a0abcc9f662"
      "76fc6ece0f4e1768cddf8853bb2d551b");
  t.opened = open_aes256gcm(t.key, t.text, *from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"));
  assert_true(t.opened.has_value());
  t.text = hex(t.opened->reveal());
  assert_string_equal(t.text.c_str(),
                      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c959568"
                      "09532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
}

void what_a_key_signs_its_public_half_verifies(CryptoTest& t) {
  t.signer = SigningKey::generate();
  assert_true(t.signer.has_value());
  t.signature = t.signer->sign("message");
  assert_true(t.signature.has_value());
  assert_true(verify_signature(t.signer->public_pem(), "message", *t.signature));
  assert_true(verify_signature(t.signer->public_der(), "message", *t.signature));
  assert_false(verify_signature(t.signer->public_pem(), "massage", *t.signature));
  assert_false(verify_signature(t.signer->public_pem(), "message", *t.signature + "x"));
  assert_false(verify_signature(t.signer->public_pem(), "message", ""));
  assert_false(verify_signature("", "message", *t.signature));
  t.again = SigningKey::generate();
  assert_false(verify_signature(t.again->public_pem(), "message", *t.signature));
}

void a_signature_has_one_form(CryptoTest& t) {
  t.signer = SigningKey::from_pem(Secret(std::string_view(openssl_pkcs8)));
  t.signature = from_base64(openssl_signature);
  const std::string& der = *t.signature;
  const size_t r_size = static_cast<unsigned char>(der[3]);
  const std::string r = der.substr(4, r_size);
  const std::string s = der.substr(6 + r_size);
  const auto with = [](const std::string& first, const std::string& second) {
    const auto number = [](const std::string& bytes) {
      return std::string{'\x02', static_cast<char>(bytes.size())} + bytes;
    };
    const std::string body = number(first) + number(second);
    return std::string{'\x30', static_cast<char>(body.size())} + body;
  };
  const bool same = with(r, s) == der && verify_signature(openssl_public, "moat\n", with(r, s));
  assert_true(same);
  const std::string zero(1, '\0');
  const std::string others[] = {with(zero + r, s),
                                with(r, zero + s),
                                with(zero + zero + r, s),
                                der.substr(0, 1) + '\x81' + der.substr(1),
                                der + zero,
                                '\x30' + std::string(1, '\x80') + der.substr(2) + zero + zero,
                                with("", s),
                                with(r, ""),
                                der.substr(0, der.size() - 1)};
  for (const std::string& other : others) {
    const bool taken = verify_signature(openssl_public, "moat\n", other);
    assert_false(taken);
  }
}

void a_key_goes_to_pem_and_back(CryptoTest& t) {
  t.signer = SigningKey::generate();
  t.again = SigningKey::from_pem(t.signer->private_pem());
  assert_true(t.again.has_value());
  assert_true(t.again->public_der() == t.signer->public_der());
  t.der = public_key_der(t.signer->public_pem());
  assert_true(t.der.has_value());
  assert_true(*t.der == t.signer->public_der());
  assert_int_equal(t.der->size(), 91);
}

void keys_and_signatures_of_openssl_are_understood(CryptoTest& t) {
  t.signer = SigningKey::from_pem(Secret(std::string_view(openssl_pkcs8)));
  assert_true(t.signer.has_value());
  assert_true(t.signer->public_pem() == openssl_public);
  t.signature = from_base64(openssl_signature);
  assert_true(verify_signature(openssl_public, "moat\n", *t.signature));
}

void keys_of_another_kind_are_refused(CryptoTest& t) {
  for (const char* pem : {openssl_secp256k1, openssl_p384, openssl_encrypted, "", "junk"}) {
    t.signer = SigningKey::from_pem(Secret(std::string_view(pem)));
    assert_false(t.signer.has_value());
  }
  t.der = public_key_der(openssl_secp256k1_public);
  assert_false(t.der.has_value());
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(CryptoTest, sha256_is_that_of_fips_180),
      MOAT_TEST(CryptoTest, sha1_is_that_of_fips_180),
      MOAT_TEST(CryptoTest, a_digest_of_pieces_is_that_of_the_whole),
      MOAT_TEST(CryptoTest, random_bytes_do_not_repeat),
      MOAT_TEST(CryptoTest, what_is_sealed_opens_with_the_same_key_and_data),
      MOAT_TEST(CryptoTest, sealing_twice_gives_different_bytes),
      MOAT_TEST(CryptoTest, anything_changed_is_found),
      MOAT_TEST(CryptoTest, a_key_of_another_size_is_refused),
      MOAT_TEST(CryptoTest, a_known_ciphertext_opens),
      MOAT_TEST(CryptoTest, what_a_key_signs_its_public_half_verifies),
      MOAT_TEST(CryptoTest, a_key_goes_to_pem_and_back),
      MOAT_TEST(CryptoTest, keys_and_signatures_of_openssl_are_understood),
      MOAT_TEST(CryptoTest, a_signature_has_one_form),
      MOAT_TEST(CryptoTest, keys_of_another_kind_are_refused),
  };
  return cmocka_run_group_tests_name("core/crypto", tests, nullptr, nullptr);
}
