// What TLS handshakes cost each side: a full one, a resumed one, and the minting of a leaf; with
// libcrypto's arithmetic beneath mbedTLS and with mbedTLS's own, in turns. CPU time, medians.
// usage: bench_handshake [rounds]
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/ca.h"
#include "proxy/tls.h"
#include "proxy/tls_accel.h"

namespace {

using namespace moat::proxy;

template <class T>
T need(moat::Result<T> result) {
  if (result) return std::move(*result);
  fprintf(stderr, "bench_handshake: %s\n", result.error().message.c_str());
  exit(1);
}

double cpu_microseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

struct Samples {
  std::vector<double> values;
  double median() {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0 : values[values.size() / 2];
  }
};

// By turns with and without, so that both see the same machine.
struct Row {
  const char* what;
  Samples with, without;
  void add(bool held, double value) { (held ? without : with).values.push_back(value); }
  void print() {
    const double fast = with.median();
    const double slow = without.median();
    printf("%-44s %8.0f us %8.0f us %6.1f\n", what, fast, slow, slow / fast);
  }
};

struct Sides {
  double server = 0;
  double client = 0;
  bool resumed = false;
};

double feed(TlsSession& from, TlsSession& to) {
  const std::string bytes(from.cipher().view());
  from.cipher().clear();
  const double start = cpu_microseconds();
  const auto fed = to.feed(bytes);
  const double spent = cpu_microseconds() - start;
  if (!fed) {
    fprintf(stderr, "bench_handshake: %s\n", fed.error().message.c_str());
    exit(1);
  }
  return spent;
}

// The making and the end of a session are part of its cost.
Sides shake_hands(TlsContext& server_context, TlsContext& client_context, const char* resume_key) {
  Sides out;
  double start = cpu_microseconds();
  auto server = need(TlsSession::server(server_context, "api.example.com", {"h2", "http/1.1"}));
  out.server += cpu_microseconds() - start;
  start = cpu_microseconds();
  auto client =
      need(TlsSession::client(client_context, "api.example.com", {"h2", "http/1.1"}, resume_key));
  if (!client->start()) exit(1);
  out.client += cpu_microseconds() - start;
  while (!client->cipher().empty() || !server->cipher().empty()) {
    out.server += feed(*client, *server);
    out.client += feed(*server, *client);
  }
  out.resumed = client->resumed();
  start = cpu_microseconds();
  server.reset();
  out.server += cpu_microseconds() - start;
  start = cpu_microseconds();
  client.reset();
  out.client += cpu_microseconds() - start;
  return out;
}

double time_of(const std::function<void()>& work) {
  const double start = cpu_microseconds();
  work();
  return cpu_microseconds() - start;
}

}  // namespace

int main(int argc, char** argv) {
  const long rounds = argc > 1 ? strtol(argv[1], nullptr, 10) : 200;
  char path[] = "/tmp/moat-bench-XXXXXX";
  const int fd = mkstemp(path);
  if (fd < 0) {
    perror("bench_handshake: mkstemp");
    return 1;
  }
  close(fd);
  auto ca = need(Ca::create("bench"));
  std::ofstream(path) << ca->pem();
  TrustStore trust({path});
  const double load = time_of([&] { (void)trust.load(); });
  remove(path);
  TlsContext servers(*ca, trust);
  TlsContext clients(*ca, trust);

  Row rows[] = {
      {"full handshake, towards the agent", {}, {}},
      {"full handshake, towards an origin", {}, {}},
      {"both: a request on two new connections", {}, {}},
      {"resumed handshake, towards the agent", {}, {}},
      {"resumed handshake, towards an origin", {}, {}},
      {"a leaf minted", {}, {}},
  };
  int minted = 0;
  for (long round = 0; round < 2 * rounds; ++round) {
    const bool held = round % 2 != 0;
    hold_acceleration(held);
    const Sides full = shake_hands(servers, clients, "");
    if (full.resumed) return 1;
    rows[0].add(held, full.server);
    rows[1].add(held, full.client);
    rows[2].add(held, full.server + full.client);
    (void)shake_hands(servers, clients, "resume");
    const Sides resumed = shake_hands(servers, clients, "resume");
    if (!resumed.resumed) return 1;
    rows[3].add(held, resumed.server);
    rows[4].add(held, resumed.client);
    rows[5].add(held, time_of([&] {
                  (void)need(ca->leaf("host" + std::to_string(++minted) + ".example.com"));
                }));
  }
  printf("%-44s %11s %11s %6s\n", "CPU time, median", "libcrypto", "mbedTLS", "ratio");
  for (Row& row : rows) row.print();
  printf("%-44s %8.0f us\n", "the system's roots read, once", load);
  return accelerate_handshakes() ? 0 : 1;
}
