#include "aws_sts.h"

#include <algorithm>
#include <ctime>
#include <optional>
#include <utility>
#include <vector>

#include "core/text.h"

namespace moat {
namespace {

constexpr int64_t second_ns = 1'000'000'000;
constexpr size_t largest_answer = 256 * 1024;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string form_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_word(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += format("%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

std::string amz_time(int64_t wall_ns) {
  const time_t seconds = wall_ns / second_ns;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

struct StsPlace {
  std::string host;
  std::string region;
};

StsPlace place_of(const StsRoute& route, std::string_view arn) {
  StsPlace place{"", route.region};
  if (place.region.empty() && arn.starts_with("arn:aws-cn:")) place.region = "cn-north-1";
  if (place.region.empty() && arn.starts_with("arn:aws-us-gov:")) place.region = "us-gov-west-1";
  if (place.region.empty()) return {"sts.amazonaws.com", "us-east-1"};
  place.host = "sts." + place.region + ".amazonaws.com";
  if (place.region.starts_with("cn-")) place.host += ".cn";
  return place;
}

FetchRequest sts_request(const proxy::AwsKeys& keys, const StsRoute& route, const StsPlace& place,
                         std::string form, const Clock& clock) {
  const std::string type = "application/x-www-form-urlencoded; charset=utf-8";
  const std::string time = amz_time(clock.wall_ns());
  proxy::RequestHead head;
  head.method = "POST";
  head.authority = place.host;
  head.path = "/";
  head.headers = {{"Content-Type", type}, {"X-Amz-Date", time}};
  proxy::AwsSignature signature;
  signature.scope = {time.substr(0, 8), place.region, "sts"};
  signature.time = time;
  signature.signed_headers = {"content-type", "host", "x-amz-date"};
  // Nothing is signed there that is not there, which is all that could go wrong.
  (void)proxy::sign_anew(head, signature, {}, keys, hex(view(sha256(form))));
  FetchRequest request;
  request.method = "POST";
  request.url = "https://" + place.host + "/";
  for (proxy::Header& header : head.headers) {
    if (equals_ignoring_case(header.name, "X-Amz-Security-Token")) {
      request.secret_headers.emplace_back(header.name, Secret(header.value));
      wipe(header.value);
    } else {
      request.headers.emplace_back(header.name, header.value);
    }
  }
  request.body = std::move(form);
  request.more_ca_files = route.ca_files;
  request.environment = route.environment;
  request.connect_to = route.connect_to;
  request.max_body = largest_answer;
  return request;
}

// What stands between <name> and </name>, the first time.
std::string xml_element(std::string_view text, const std::string& name) {
  const std::string open = "<" + name + ">";
  const size_t begin = text.find(open);
  if (begin == std::string_view::npos) return "";
  const size_t from = begin + open.size();
  const size_t end = text.find("</" + name + ">", from);
  return end == std::string_view::npos ? "" : std::string(trim(text.substr(from, end - from)));
}

std::string xml_text(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> entities[] = {
      {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}, {"&amp;", "&"}};
  for (const auto& [entity, character] : entities) {
    for (size_t at = 0; (at = text.find(entity, at)) != std::string::npos; at++)
      text.replace(at, entity.size(), character);
  }
  return text;
}

Result<void> check_answer(const Result<FetchResponse>& answer) {
  if (!answer) return answer.error().in("AWS's token service");
  if (answer->status == 200) return {};
  const std::string code = xml_element(answer->body, "Code");
  const std::string message = xml_text(xml_element(answer->body, "Message"));
  return error(Errc::refused, "AWS's token service answers %d%s%s", answer->status,
               code.empty() ? "" : (" " + printable(code.substr(0, 100))).c_str(),
               message.empty() ? "" : (": " + printable(message.substr(0, 500))).c_str());
}

}  // namespace

Result<void> check_role_arn(std::string_view arn) {
  const auto parts = split(arn, ':');
  const bool whole =
      parts.size() == 6 && parts[0] == "arn" && parts[1].starts_with("aws") && parts[2] == "iam" &&
      parts[3].empty() && parts[4].size() == 12 &&
      std::all_of(parts[4].begin(), parts[4].end(), [](char c) { return c >= '0' && c <= '9'; }) &&
      parts[5].starts_with("role/") && parts[5].size() > 5 && arn.size() <= 2048 &&
      std::all_of(arn.begin(), arn.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (whole) return {};
  return error(Errc::invalid, "--role: '%s' is not arn:aws:iam::ACCOUNT:role/NAME",
               printable(arn.substr(0, 100)).c_str());
}

FetchRequest get_caller_identity(const proxy::AwsKeys& keys, const StsRoute& route,
                                 const Clock& clock) {
  return sts_request(keys, route, place_of(route, ""),
                     "Action=GetCallerIdentity&Version=2011-06-15", clock);
}

FetchRequest assume_role(const proxy::AwsKeys& keys, const AwsRole& role, const StsRoute& route,
                         const Clock& clock) {
  std::string session = role.session.substr(0, 64);
  for (char& c : session)
    if (!is_word(c) && std::string_view("_+=,.@-").find(c) == std::string_view::npos) c = '-';
  std::string form = "Action=AssumeRole&Version=2011-06-15&RoleArn=" + form_encoded(role.arn);
  form += "&RoleSessionName=" + form_encoded(session);
  form += "&DurationSeconds=" + std::to_string(role.seconds);
  if (!role.external_id.empty()) form += "&ExternalId=" + form_encoded(role.external_id);
  return sts_request(keys, route, place_of(route, role.arn), std::move(form), clock);
}

Result<std::string> read_identity(const Result<FetchResponse>& answer) {
  if (auto checked = check_answer(answer); !checked) return checked.error();
  std::string arn = xml_element(answer->body, "Arn");
  if (arn.empty())
    return error(Errc::invalid, "AWS's token service does not say whose keys these are");
  return printable(arn.substr(0, 2048));
}

Result<RoleKeys> read_role_keys(Result<FetchResponse>& answer) {
  if (auto checked = check_answer(answer); !checked) return checked.error();
  RoleKeys out;
  std::string secret = xml_element(answer->body, "SecretAccessKey");
  std::string token = xml_element(answer->body, "SessionToken");
  proxy::AwsKeys& keys = out.temporary.keys;
  keys = {xml_element(answer->body, "AccessKeyId"), Secret(secret), Secret(token)};
  out.arn = printable(xml_element(answer->body, "Arn").substr(0, 2048));
  const auto expires = parse_rfc3339(xml_element(answer->body, "Expiration"));
  wipe(secret);
  wipe(token);
  wipe(answer->body);
  if (keys.access_key.empty() || keys.secret_key.empty() || keys.session_token.empty() || !expires)
    return error(Errc::invalid, "AWS's token service answers without keys of the role");
  out.temporary.expires_ns = *expires;
  return out;
}

}  // namespace moat
