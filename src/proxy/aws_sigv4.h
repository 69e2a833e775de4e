// AWS Signature Version 4, and 4A, which is good for several regions: reading the signature of a
// request, and making one. Pure functions.
//
// "Create a signed AWS API request", IAM User Guide (reference_sigv-create-signed-request), and for
// S3 "Authenticating Requests (AWS Signature Version 4)", S3 API Reference.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/crypto.h"
#include "core/result.h"
#include "core/secret.h"
#include "proxy/http.h"

namespace moat::proxy {

inline constexpr std::string_view unsigned_payload = "UNSIGNED-PAYLOAD";

struct AwsKeys {
  std::string access_key;  // "AKIA…", "ASIA…": a name, not a secret
  Secret secret_key;
  Secret session_token;  // of temporary keys; or empty
  [[nodiscard]] AwsKeys clone() const {
    return {access_key, secret_key.clone(), session_token.clone()};
  }
};

// Who may use a signature, and for what.
struct AwsScope {
  std::string date;    // "20130524"
  std::string region;  // empty: of 4A, and the regions stand in X-Amz-Region-Set
  std::string service;
  [[nodiscard]] bool asymmetric() const { return region.empty(); }
  [[nodiscard]] std::string text() const {  // "20130524/us-east-1/s3/aws4_request"
    return date + "/" + region + (asymmetric() ? "" : "/") + service + "/aws4_request";
  }
};

// What a request says of its own signature.
struct AwsSignature {
  bool presigned = false;  // it stands in the query, not in Authorization
  std::string access_key;
  AwsScope scope;
  std::string time;                         // "20130524T000000Z"; its day is the scope's
  std::vector<std::string> signed_headers;  // lower case, sorted, "host" among them
  std::string signature;                    // hex: 64 digits; of 4A, as many as DER takes
};

// Nothing where the request has none. Errc::unsupported for the older schemes of AWS, Errc::invalid
// for what is malformed, stands twice, or does not sign the host: a signature that is good for one
// host only is what makes it safe to give to that host.
Result<std::optional<AwsSignature>> find_aws_signature(const RequestHead& head);

// Clients differ in what they make of a path and a query before they sign it, and services expect
// what their clients do.
struct CanonicalForm {
  enum class Path { as_service, encoded, normal_encoded };  // S3; the others, two ways
  enum class Query { decoded, plus_is_space, as_sent };
  Path path = Path::normal_encoded;
  Query query = Query::decoded;
};
// Those that are worth a try for such a request, the likeliest first.
std::vector<CanonicalForm> canonical_forms(std::string_view service, std::string_view path);

// What is signed. Errc::invalid when a signed header is not there.
Result<std::string> canonical_request(const RequestHead& head, const AwsSignature& signature,
                                      CanonicalForm form, std::string_view payload_hash);
std::string string_to_sign(const AwsSignature& signature, std::string_view canonical);
// The key of a day, region and service.
Secret aws_signing_key(const Secret& secret_key, const AwsScope& scope);
std::string aws_signature(const Secret& signing_key, std::string_view string_to_sign);  // hex
// That of 4A, a key pair on P-256 that is for all days, regions and services.
Result<SigningKey> aws_asymmetric_key(std::string_view access_key, const Secret& secret_key);

// Is the signature made with this key, over this request? Gives the form that it was made over.
std::optional<CanonicalForm> verify_aws_signature(const RequestHead& head,
                                                  const AwsSignature& signature,
                                                  const Secret& secret_key,
                                                  std::string_view payload_hash);
// Replaces a request's signature by that of other keys: the same time and scope, and of the headers
// that were signed those that are still there. The session token goes where the signature stands,
// and the one that was there is removed. The signature is then that of the request.
Result<void> sign_anew(RequestHead& head, AwsSignature& signature, CanonicalForm form,
                       const AwsKeys& keys, std::string_view payload_hash);

// "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…"
std::string aws_authorization(const AwsSignature& signature);

}  // namespace moat::proxy
