// What servers publish of how to log in: whatever they say, what is taken is of whom was asked,
// leads to https only, and is text.
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/text.h"
#include "device_flow.h"
#include "oauth_metadata.h"

namespace {

void must(bool holds) {
  if (!holds) abort();
}

void must_be_text(const moat::Error& error) {
  must(moat::printable(error.message) == error.message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moat;
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto asked = parse_oauth_url("https://mcp.example/team/mcp", "url");
  const auto issuer = parse_oauth_url("https://as.example", "issuer");
  switch (data[0] % 5) {
    case 0: {
      const auto resource = read_resource(text, *asked);
      if (!resource) return must_be_text(resource.error()), 0;
      must(parse_oauth_url(resource->resource, "resource")->origin == asked->origin);
      must(is_scopes(resource->scopes));
      break;
    }
    case 1: {
      const auto server = read_server(text, *issuer, true);
      if (!server) return must_be_text(server.error()), 0;
      for (const std::string* url : {&server->authorization_url, &server->token_url,
                                     &server->registration_url, &server->revocation_url})
        must(url->empty() || (url->starts_with("https://") && printable(*url) == *url));
      break;
    }
    case 2: {
      const auto client = read_registration(201, text);
      if (!client) return must_be_text(client.error()), 0;
      must(looks_like_token(client->id));
      must(client->secret.empty() || looks_like_token(client->secret));
      break;
    }
    case 3:
      must(challenge_parameter(text, "resource_metadata").size() <= text.size());
      break;
    default:
      if (const auto url = parse_oauth_url(text, "url"))
        for (const auto& place : server_documents(*url))
          must(place.starts_with(url->origin + "/") && parse_oauth_url(url->origin, "url"));
  }
  return 0;
}
