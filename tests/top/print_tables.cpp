// Prints the tables that the manual has to agree with, a line each, for tests/check-man.sh.
#include <cstdio>
#include <string>

#include "command.h"
#include "config.h"
#include "core/text.h"
#include "grant.h"
#include "proxy/http2_origin.h"
#include "proxy/proxy.h"
#include "proxy/ssh_agent_service.h"
#include "runtime/engine.h"
#include "user_config.h"

using namespace moat;

namespace {

void limit(const char* what, const std::string& value) {
  printf("limit\t%s\t%s\n", what, value.c_str());
}

std::string bytes(size_t count) {
  if (count >= 1024 * 1024) return format("%zu MiB", count / 1024 / 1024);
  return count < 1024 ? format("%zu bytes", count) : format("%zu KiB", count / 1024);
}

std::string seconds(Milliseconds time) {
  return format("%lld s", static_cast<long long>(time.count() / 1000));
}

void print_limits() {
  const proxy::Limits limits;
  limit("all headers of a message, with its first line", bytes(limits.http1.head_bytes));
  limit("headers of a message", std::to_string(limits.http1.header_count));
  limit("the target in a request's first line", bytes(limits.http1.target_bytes));
  limit("the line before a chunk", bytes(limits.http1.chunk_line_bytes));
  limit("trailers", bytes(limits.http1.trailer_bytes));
  limit("connections of the program's at once", std::to_string(limits.connections));
  limit("bytes held for a connection, each way", bytes(limits.buffer_bytes));
  limit("idle connections kept, for an origin", std::to_string(limits.pooled_per_origin));
  limit("idle connections kept, for all origins", std::to_string(limits.pooled));
  limit("HTTP/2 connections to an origin", std::to_string(limits.shared_per_origin));
  limit("requests at once on such a connection",
        std::to_string(proxy::http2_origin_limits(limits.http1).streams));
  limit("waiting for one of them", seconds(limits.stream_wait()));
  limit("until a connection says what it speaks", seconds(limits.first_bytes));
  limit("a TLS handshake of the program's", seconds(limits.handshake));
  limit("the head of a request, from its first byte", seconds(limits.head));
  limit("looking up a name", seconds(limits.resolve));
  limit("connecting to an origin", seconds(limits.connect));
  limit("the answer of a proxy before it", seconds(limits.connect));
  limit("a TLS handshake with an origin", seconds(limits.handshake));
  limit("an exchange in which nothing moves", seconds(limits.idle));
  limit("a WebSocket or other tunnel, likewise", seconds(limits.tunnel_idle));
  limit("an answer, once the program ended its side", seconds(limits.half_closed));
  limit("between requests, the program's side", seconds(limits.keep_alive));
  limit("between requests, an origin's side", seconds(limits.pool_idle));
}

void print_ssh_limits() {
  const proxy::SshAgentLimits limits;
  limit("clients at once", std::to_string(limits.connections));
  limit("a request of a client's", bytes(limits.message_bytes));
  limit("a signature by the agent on the host", seconds(limits.signing));
}

void print_http2_limits() {
  const proxy::Limits limits;
  const proxy::Http2Limits& http2 = limits.http2;
  limit("all headers of a message, as SETTINGS count them", bytes(http2.head_bytes));
  limit("... and beyond all measure", bytes(http2.hopeless * http2.head_bytes));
  limit("headers of a message", std::to_string(http2.header_count));
  limit("frames in which a head goes on", std::to_string(http2.continuations));
  limit("the head of a request, from its first byte", seconds(limits.head));
  limit("streams at once", std::to_string(http2.streams));
  limit("bytes on their way to moat, a stream", bytes(http2.stream_window));
  limit("... and a connection", bytes(http2.connection_window));
  limit("bytes that wait to be read, a stream", bytes(http2.stream_queue));
  limit("streams that the program resets, or makes moat reset",
        format("%u, and %u/s", http2.resets_burst, http2.resets_a_second));
  limit("PING, SETTINGS, PRIORITY and empty frames",
        format("%u, and %u/s", http2.control_frames, http2.control_frames / 10));
  limit("answers to them that nobody reads", std::to_string(http2.control_frames));
}

void print_provider(const Provider& provider) {
  printf("provider\t%s\n", provider.name.c_str());
  if (provider.device)
    printf("variable\tmoat-grant.1\t%s\n", provider.device->client_id_variable.c_str());
  for (const ProviderSite& site : provider.sites) {
    for (const TokenSource& source : site.sources)
      if (source.kind == TokenSource::Kind::variable)
        printf("variable\tmoat-grant.1\t%s\n", source.text.c_str());
    for (const ProviderHost& host : site.hosts)
      if (host.host.find("{host}") == std::string::npos)
        printf("host\tmoat-grant.1\t%s\n", host.host.c_str());
  }
}

}  // namespace

int main() {
  for (const Command& command : commands()) {
    printf("command\t%s\t%s\n", command.name, command.summary);
    for (const Option& option : command.options)
      printf("option\t%s\t%c\t%s\n", command.name, option.letter == 0 ? '-' : option.letter,
             option.name);
  }
  for (const ConfigKey& key : config_keys()) printf("key\t%s\n", key.path);
  for (const UserConfigKey& key : user_config_keys()) printf("userkey\t%s\n", key.path);
  for (const std::string& variable : runtime::ca_environment)
    printf("variable\tmoat.7\t%s\n", variable.c_str());
  for (const ProviderKey& key : provider_keys()) printf("providerkey\t%s\n", key.path);
  for (const Provider& provider : providers()) print_provider(provider);
  print_limits();
  print_http2_limits();
  print_ssh_limits();
  return 0;
}
