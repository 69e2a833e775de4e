// A request whose signature can be read can be signed anew, and then verifies with the new key and
// with no other.
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/text.h"
#include "proxy/aws_sigv4.h"

using namespace moat;
using namespace moat::proxy;

// The first line is the path, the second the Authorization, the others are headers.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  RequestHead head;
  head.method = "GET";
  head.authority = "s3.amazonaws.com";
  size_t line = 0;
  for (const std::string_view text : split(bytes, '\n')) {
    const size_t colon = text.find(':');
    if (line == 0) head.path = text;
    if (line == 1 && !text.empty())
      head.headers.push_back({"Authorization", std::string(trim(text))});
    if (line > 1 && colon != std::string_view::npos && colon > 0)
      head.headers.push_back(
          {std::string(text.substr(0, colon)), std::string(trim(text.substr(colon + 1)))});
    line++;
  }
  const auto found = find_aws_signature(head);
  if (!found || !*found) return 0;
  AwsSignature signature = **found;
  const AwsKeys keys{"AKIAOURS", Secret("ours"), Secret(line % 2 == 0 ? "a token/+=" : "")};
  (void)verify_aws_signature(head, signature, keys.secret_key, unsigned_payload);
  for (const CanonicalForm form : canonical_forms(signature.scope.service, head.path)) {
    RequestHead ours = head;
    AwsSignature now = signature;
    if (!sign_anew(ours, now, form, keys, unsigned_payload)) abort();
    const auto again = find_aws_signature(ours);
    if (!again || !*again || (*again)->access_key != "AKIAOURS") abort();
    if (!verify_aws_signature(ours, **again, keys.secret_key, unsigned_payload)) abort();
    if (verify_aws_signature(ours, **again, Secret("theirs"), unsigned_payload)) abort();
  }
  return 0;
}
