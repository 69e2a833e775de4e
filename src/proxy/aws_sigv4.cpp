#include "proxy/aws_sigv4.h"

#include <algorithm>
#include <utility>

#include "core/hmac.h"
#include "core/text.h"

namespace moat::proxy {
namespace {

constexpr std::string_view symmetric = "AWS4-HMAC-SHA256";
constexpr std::string_view asymmetric = "AWS4-ECDSA-P256-SHA256";
constexpr size_t longest_der = 72;  // of two numbers of 32 bytes
constexpr size_t most_signed_headers = 128;

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string encode(std::string_view text, bool keep_slashes) {
  static const char digits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size() + 8);
  for (const char c : text) {
    if (is_unreserved(c) || (keep_slashes && c == '/')) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

// A broken escape stands for itself.
std::string decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); i++) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_value(text[i + 2]) : -1;
    if (low >= 0) {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

// RFC 3986 5.2.4, and empty segments are dropped; a slash at the end stays.
std::string normal_path(std::string_view path) {
  std::vector<std::string_view> kept;
  bool slash = true;
  for (const std::string_view part : split(path, '/')) {
    slash = part.empty() || part == "." || part == "..";
    if (part == ".." && !kept.empty()) kept.pop_back();
    if (!slash) kept.push_back(part);
  }
  std::string out;
  for (const std::string_view part : kept) out.append("/").append(part);
  if (slash || out.empty()) out += '/';
  return out;
}

struct Target {
  std::string_view path;
  std::string_view query;  // without its '?'
};

Target split_target(std::string_view text) {
  const size_t mark = text.find('?');
  if (mark == std::string_view::npos) return {text, {}};
  return {text.substr(0, mark), text.substr(mark + 1)};
}

struct Parameter {
  std::string_view name;
  std::string_view value;
};

std::vector<Parameter> parameters_of(std::string_view query) {
  std::vector<Parameter> all;
  for (const std::string_view part : split(query, '&')) {
    if (part.empty()) continue;
    const size_t equals = std::min(part.find('='), part.size());
    all.push_back({part.substr(0, equals), part.substr(std::min(equals + 1, part.size()))});
  }
  return all;
}

bool is_named(std::string_view parameter, std::string_view name) {
  return equals_ignoring_case(decode(parameter, false), name);
}

std::string canonical_path(std::string_view path, CanonicalForm::Path form) {
  if (path.empty()) return "/";
  switch (form) {
    case CanonicalForm::Path::as_service:
      return encode(decode(path, false), true);
    case CanonicalForm::Path::encoded:
      return encode(path, true);
    case CanonicalForm::Path::normal_encoded:
      break;
  }
  return encode(normal_path(path), true);
}

std::string canonical_query(std::string_view query, CanonicalForm::Query form) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const Parameter& parameter : parameters_of(query)) {
    if (is_named(parameter.name, "X-Amz-Signature")) continue;
    const bool plus = form == CanonicalForm::Query::plus_is_space;
    if (form == CanonicalForm::Query::as_sent) {
      all.emplace_back(parameter.name, parameter.value);
    } else {
      all.emplace_back(encode(decode(parameter.name, plus), false),
                       encode(decode(parameter.value, plus), false));
    }
  }
  std::sort(all.begin(), all.end());
  std::string out;
  for (const auto& [name, value] : all) {
    if (!out.empty()) out += '&';
    out.append(name).append("=").append(value);
  }
  return out;
}

// Trimmed, and each stretch of white space within is one space.
void append_header_value(std::string& out, std::string_view value) {
  bool space = false;
  for (const char c : trim(value)) {
    const bool white = c == ' ' || c == '\t';
    if (white && !space) out += ' ';
    if (!white) out += c;
    space = white;
  }
}

// All of that name; false where there is none.
bool append_canonical_header(std::string& out, const RequestHead& head, const std::string& name) {
  out.append(name).append(":");
  bool any = false;
  if (name == "host") {
    append_header_value(out, head.authority);
    any = !head.authority.empty();
  }
  for (const Header& header : head.headers) {
    if (!equals_ignoring_case(header.name, name)) continue;
    if (any) out += ',';
    append_header_value(out, header.value);
    any = true;
  }
  out += '\n';
  return any;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out.append(out.empty() ? "" : ";").append(name);
  return out;
}

bool all_of_class(std::string_view text, bool (*fits)(char)) {
  return !text.empty() && std::all_of(text.begin(), text.end(), fits);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_lower_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}

bool is_word(char c) {
  return is_unreserved(c);
}

// "20130524T000000Z"
bool is_time(std::string_view text) {
  return text.size() == 16 && text[8] == 'T' && text[15] == 'Z' &&
         all_of_class(text.substr(0, 8), is_digit) && all_of_class(text.substr(9, 6), is_digit);
}

Error malformed(const char* what) {
  return error(Errc::invalid, "the AWS signature of the request %s", what);
}

std::string_view algorithm_of(const AwsSignature& signature) {
  return signature.scope.asymmetric() ? asymmetric : symmetric;
}

// "AKIA…/20130524/us-east-1/s3/aws4_request"; of 4A without the region.
Result<void> read_credential(std::string_view text, bool with_region, AwsSignature& into) {
  const auto parts = split(text, '/');
  const bool whole = parts.size() == (with_region ? 5U : 4U) &&
                     std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
                       return part.size() <= 256 && all_of_class(part, is_word);
                     });
  if (!whole || parts.back() != "aws4_request" || parts[1].size() != 8 ||
      !all_of_class(parts[1], is_digit))
    return malformed("has no credential of the form KEY/DATE/REGION/SERVICE/aws4_request");
  into.access_key = parts[0];
  into.scope = {std::string(parts[1]), with_region ? std::string(parts[2]) : "",
                std::string(parts[parts.size() - 2])};
  return {};
}

Result<void> read_signed_headers(std::string_view text, AwsSignature& into) {
  for (const std::string_view name : split(text, ';')) {
    if (name.empty() || into.signed_headers.size() == most_signed_headers)
      return malformed("names no headers that could be signed");
    into.signed_headers.push_back(lower(name));
  }
  std::sort(into.signed_headers.begin(), into.signed_headers.end());
  const auto twice = std::unique(into.signed_headers.begin(), into.signed_headers.end());
  into.signed_headers.erase(twice, into.signed_headers.end());
  if (!std::binary_search(into.signed_headers.begin(), into.signed_headers.end(), "host"))
    return malformed("does not sign the host, and would be good for any");
  return {};
}

Result<void> finish_reading(AwsSignature& signature) {
  const std::string& digits = signature.signature;
  const bool fits = signature.scope.asymmetric()
                        ? digits.size() % 2 == 0 && digits.size() <= 2 * longest_der
                        : digits.size() == 64;
  if (!fits || !all_of_class(digits, is_lower_hex))
    return malformed("is not of hexadecimal digits, or not of so many");
  if (!is_time(signature.time)) return malformed("has no time such as 20130524T000000Z");
  if (signature.time.compare(0, 8, signature.scope.date) != 0)
    return malformed("is for another day than the request");
  return {};
}

Result<std::optional<AwsSignature>> read_authorization(std::string_view scheme,
                                                       std::string_view value,
                                                       const RequestHead& head) {
  AwsSignature signature;
  bool has[3] = {};
  for (std::string_view part : split(value.substr(scheme.size()), ',')) {
    part = trim(part);
    const size_t equals = std::min(part.find('='), part.size());
    const std::string_view name = part.substr(0, equals);
    const std::string_view text = part.substr(std::min(equals + 1, part.size()));
    const size_t which = name == "Credential"      ? 0
                         : name == "SignedHeaders" ? 1
                         : name == "Signature"     ? 2
                                                   : 3;
    if (which == 3 || std::exchange(has[which], true))
      return malformed("is not made of a Credential, SignedHeaders and a Signature");
    if (which == 2) signature.signature = text;
    if (which == 2) continue;
    const auto read = which == 0 ? read_credential(text, scheme == symmetric, signature)
                                 : read_signed_headers(text, signature);
    if (!read) return read.error();
  }
  if (!has[0] || !has[1] || !has[2])
    return malformed("is not made of a Credential, SignedHeaders and a Signature");
  if (count(head.headers, "X-Amz-Date") != 1)
    return malformed("comes without the one X-Amz-Date header that says its time");
  signature.time = find(head.headers, "X-Amz-Date")->value;
  const auto& names = signature.signed_headers;
  if (signature.scope.asymmetric() &&
      (!std::binary_search(names.begin(), names.end(), "x-amz-region-set") ||
       count(head.headers, "X-Amz-Region-Set") != 1))
    return malformed("does not sign for which regions it is");
  if (auto finished = finish_reading(signature); !finished) return finished.error();
  return std::optional(std::move(signature));
}

Result<std::optional<AwsSignature>> read_query(const std::vector<Parameter>& parameters) {
  constexpr std::string_view names[] = {"X-Amz-Algorithm",     "X-Amz-Credential",
                                        "X-Amz-SignedHeaders", "X-Amz-Signature",
                                        "X-Amz-Date",          "X-Amz-Expires"};
  std::optional<std::string> values[std::size(names)];
  for (const Parameter& parameter : parameters) {
    for (size_t i = 0; i < std::size(names); i++) {
      if (!is_named(parameter.name, names[i])) continue;
      if (values[i] || parameter.name != names[i])
        return malformed("has a parameter twice, or oddly spelled");
      values[i] = decode(parameter.value, false);
    }
  }
  for (const auto& value : values)
    if (!value) return malformed("lacks one of its parameters");
  if (*values[0] != symmetric && *values[0] != asymmetric)
    return malformed("is of an unknown algorithm");
  AwsSignature signature;
  signature.presigned = true;
  if (auto read = read_credential(*values[1], *values[0] == symmetric, signature); !read)
    return read.error();
  if (auto read = read_signed_headers(*values[2], signature); !read) return read.error();
  signature.signature = std::move(*values[3]);
  signature.time = std::move(*values[4]);
  if (auto finished = finish_reading(signature); !finished) return finished.error();
  return std::optional(std::move(signature));
}

// One that stays when the request is signed anew.
bool is_signature_parameter(std::string_view name) {
  return is_named(name, "X-Amz-Signature") || is_named(name, "X-Amz-Security-Token") ||
         is_named(name, "X-Amz-Credential") || is_named(name, "X-Amz-SignedHeaders");
}

void rewrite_query(RequestHead& head, const AwsSignature& signature, const AwsKeys& keys) {
  const Target target = split_target(head.path);
  std::string path(target.path);
  path.reserve(head.path.size() + 3 * keys.session_token.size() + 512);
  path += '?';
  for (const std::string_view part : split(target.query, '&')) {
    if (part.empty() || is_signature_parameter(part.substr(0, part.find('=')))) continue;
    path.append(part).append("&");
  }
  path += "X-Amz-Credential=" + encode(signature.access_key + "/" + signature.scope.text(), false);
  path += "&X-Amz-SignedHeaders=" + encode(joined(signature.signed_headers), false);
  if (!keys.session_token.empty()) {
    std::string token = encode(keys.session_token.reveal(), false);
    path.append("&X-Amz-Security-Token=").append(token);
    wipe(token);
  }
  head.path = std::move(path);
}

Result<std::string> make_signature(const AwsKeys& keys, const AwsScope& scope,
                                   std::string_view text) {
  if (!scope.asymmetric()) return aws_signature(aws_signing_key(keys.secret_key, scope), text);
  const auto pair = aws_asymmetric_key(keys.access_key, keys.secret_key);
  if (!pair) return pair.error();
  auto der = pair->sign(text);
  if (!der) return der.error();
  return hex(*der);
}

}  // namespace

Result<std::optional<AwsSignature>> find_aws_signature(const RequestHead& head) {
  const Header* authorization = nullptr;
  for (const Header& header : head.headers) {
    if (!equals_ignoring_case(header.name, "Authorization")) continue;
    if (authorization != nullptr) return malformed("is one of several Authorization headers");
    authorization = &header;
  }
  const auto parameters = parameters_of(split_target(head.path).query);
  bool presigned = false;
  bool old_key = false;
  bool old_signature = false;
  for (const Parameter& parameter : parameters) {
    for (const char* name : {"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Algorithm",
                             "X-Amz-Security-Token", "X-Amz-SignedHeaders"})
      presigned = presigned || is_named(parameter.name, name);
    old_key = old_key || is_named(parameter.name, "AWSAccessKeyId");
    old_signature = old_signature || is_named(parameter.name, "Signature");
  }
  const std::string_view value = authorization != nullptr ? trim(authorization->value) : "";
  const std::string_view scheme = value.substr(0, value.find_first_of(" \t"));
  if (old_key || old_signature || equals_ignoring_case(scheme, "AWS") ||
      equals_ignoring_case(scheme, "AWS3-HTTPS"))
    return error(Errc::unsupported,
                 "the request is signed by an older version of AWS's signatures than 4");
  const bool in_header = scheme.size() >= 4 && equals_ignoring_case(scheme.substr(0, 4), "AWS4");
  if (in_header && presigned) return malformed("stands in its query and in a header");
  if (presigned) return read_query(parameters);
  if (!in_header) return std::optional<AwsSignature>();
  if (scheme != symmetric && scheme != asymmetric) return malformed("is of an unknown algorithm");
  return read_authorization(scheme, value, head);
}

std::vector<CanonicalForm> canonical_forms(std::string_view service, std::string_view path) {
  using Path = CanonicalForm::Path;
  using Query = CanonicalForm::Query;
  const bool storage = service.starts_with("s3");  // s3, s3-object-lambda, s3-outposts, s3express
  std::vector<Path> paths = {Path::as_service, Path::normal_encoded, Path::encoded};
  if (!storage) paths = {Path::normal_encoded, Path::encoded, Path::as_service};
  const Target target = split_target(path);
  std::vector<Query> queries = {Query::decoded};
  if (target.query.find('+') != std::string_view::npos) queries.push_back(Query::plus_is_space);
  if (!target.query.empty()) queries.push_back(Query::as_sent);
  std::vector<CanonicalForm> forms;
  std::vector<std::string> seen;
  for (const Path way : paths) {
    std::string text = canonical_path(target.path, way);
    if (std::find(seen.begin(), seen.end(), text) != seen.end()) continue;
    seen.push_back(std::move(text));
    for (const Query query : queries) forms.push_back({way, query});
  }
  return forms;
}

Result<std::string> canonical_request(const RequestHead& head, const AwsSignature& signature,
                                      CanonicalForm form, std::string_view payload_hash) {
  const Target target = split_target(head.path);
  std::string out = head.method + "\n";
  out += canonical_path(target.path, form.path) + "\n";
  out += canonical_query(target.query, form.query) + "\n";
  for (const std::string& name : signature.signed_headers) {
    if (!append_canonical_header(out, head, name)) {
      wipe(out);
      return error(Errc::invalid,
                   "the AWS signature of the request signs a header that is not there");
    }
  }
  out += "\n" + joined(signature.signed_headers) + "\n";
  return out.append(payload_hash);
}

std::string string_to_sign(const AwsSignature& signature, std::string_view canonical) {
  std::string out = std::string(algorithm_of(signature)) + "\n" + signature.time + "\n";
  return out + signature.scope.text() + "\n" + hex(view(sha256(canonical)));
}

Secret aws_signing_key(const Secret& secret_key, const AwsScope& scope) {
  std::string first;
  first.reserve(4 + secret_key.size());
  first.append("AWS4").append(secret_key.reveal());
  Digest key = hmac_sha256(first, {scope.date});
  wipe(first);
  for (const std::string_view step :
       {std::string_view(scope.region), std::string_view(scope.service),
        std::string_view("aws4_request")})
    key = hmac_sha256(view(key), {step});
  Secret out(view(key));
  wipe(key.data(), key.size());
  return out;
}

std::string aws_signature(const Secret& signing_key, std::string_view string_to_sign) {
  return hex(view(hmac_sha256(signing_key.reveal(), {string_to_sign})));
}

// "AWS4A", NIST SP 800-108 in counter mode, until a number below the order of the curve comes out,
// which is nearly always the first.
Result<SigningKey> aws_asymmetric_key(std::string_view access_key, const Secret& secret_key) {
  // The order less 2, and then a key in SEC1 (RFC 5915) without its public half.
  constexpr std::string_view highest(
      "\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e"
      "\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x4f",
      32);
  constexpr std::string_view before("\x30\x31\x02\x01\x01\x04\x20", 7);
  constexpr std::string_view after("\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 12);
  std::string from;
  from.reserve(5 + secret_key.size());
  from.append("AWS4A").append(secret_key.reveal());
  for (char counter = 1; counter < 127; counter++) {
    Digest number = hmac_sha256(
        from, {std::string_view("\0\0\0\1", 4), asymmetric, std::string_view("\0", 1), access_key,
               std::string_view(&counter, 1), std::string_view("\0\0\1\0", 4)});
    if (view(number) > highest) continue;
    for (size_t i = number.size(); i-- > 0 && ++number[i] == 0;) {
    }
    std::string der;
    der.reserve(64);
    der.append(before).append(view(number)).append(after);
    std::string text = base64(der);
    std::string pem;
    pem.reserve(256);
    pem.append("-----BEGIN EC PRIVATE KEY-----\n").append(std::string_view(text).substr(0, 64));
    pem.append("\n").append(std::string_view(text).substr(64));
    pem.append("\n-----END EC PRIVATE KEY-----\n");
    auto key = SigningKey::from_pem(Secret(pem));
    for (std::string* copy : {&from, &der, &text, &pem}) wipe(*copy);
    wipe(number.data(), number.size());
    return key;
  }
  wipe(from);
  return error(Errc::invalid, "no key can be derived from these AWS keys");
}

std::optional<CanonicalForm> verify_aws_signature(const RequestHead& head,
                                                  const AwsSignature& signature,
                                                  const Secret& secret_key,
                                                  std::string_view payload_hash) {
  Secret key;
  std::string public_key;
  std::string theirs = signature.signature;
  if (signature.scope.asymmetric()) {
    const auto pair = aws_asymmetric_key(signature.access_key, secret_key);
    auto der = from_hex(signature.signature);
    if (!pair || !der) return std::nullopt;
    public_key = pair->public_der();
    theirs = std::move(*der);
  } else {
    key = aws_signing_key(secret_key, signature.scope);
  }
  for (const CanonicalForm form : canonical_forms(signature.scope.service, head.path)) {
    const auto canonical = canonical_request(head, signature, form, payload_hash);
    if (!canonical) return std::nullopt;
    const std::string text = string_to_sign(signature, *canonical);
    const bool good = signature.scope.asymmetric()
                          ? verify_signature(public_key, text, theirs)
                          : equal_in_constant_time(aws_signature(key, text), theirs);
    if (good) return form;
  }
  return std::nullopt;
}

std::string aws_authorization(const AwsSignature& signature) {
  return std::string(algorithm_of(signature)) + " Credential=" + signature.access_key + "/" +
         signature.scope.text() + ", SignedHeaders=" + joined(signature.signed_headers) +
         ", Signature=" + signature.signature;
}

Result<void> sign_anew(RequestHead& head, AwsSignature& signature, CanonicalForm form,
                       const AwsKeys& keys, std::string_view payload_hash) {
  constexpr std::string_view token_name = "x-amz-security-token";
  remove_all(head.headers, token_name);
  std::erase_if(signature.signed_headers, [&head](const std::string& name) {
    return name != "host" && find(head.headers, name) == nullptr;
  });
  // A header that "Connection" names is gone by now.
  if (!signature.presigned &&
      (find(head.headers, "X-Amz-Date") == nullptr ||
       (signature.scope.asymmetric() && find(head.headers, "X-Amz-Region-Set") == nullptr)))
    return malformed("cannot do without headers that are for one connection only");
  signature.access_key = keys.access_key;
  if (signature.presigned) {
    rewrite_query(head, signature, keys);
  } else if (!keys.session_token.empty()) {
    head.headers.push_back({"X-Amz-Security-Token", std::string(keys.session_token.reveal())});
    signature.signed_headers.emplace_back(token_name);
    std::sort(signature.signed_headers.begin(), signature.signed_headers.end());
  }
  auto canonical = canonical_request(head, signature, form, payload_hash);
  if (!canonical) return canonical.error();
  auto made = make_signature(keys, signature.scope, string_to_sign(signature, *canonical));
  wipe(*canonical);  // the session token is in it
  if (!made) return made.error();
  signature.signature = std::move(*made);
  if (signature.presigned) {
    head.path += "&X-Amz-Signature=" + signature.signature;
  } else {
    set(head.headers, "Authorization", aws_authorization(signature));
  }
  return {};
}

}  // namespace moat::proxy
