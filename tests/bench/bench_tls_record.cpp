// What TLS costs once hands are shaken: records sealed and opened, a connection from end to end,
// and what an idle one holds.
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/loop.h"
#include "proxy/ca.h"
#include "proxy/tls.h"
#include "proxy/tls_record.h"
#include "proxy/transport.h"

// glibc's own, beneath the one that counts.
extern "C" void* __libc_malloc(size_t size);

namespace {

uint64_t allocations = 0;

using moat::proxy::RecordCipher;
using moat::proxy::RecordLayer;
using Clock = std::chrono::steady_clock;

double nanoseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

template <class T>
T need(moat::Result<T> result) {
  if (result) return std::move(*result);
  fprintf(stderr, "bench_tls_record: %s\n", result.error().message.c_str());
  exit(1);
}

double median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

std::unique_ptr<RecordLayer> layer(RecordCipher cipher, bool is_client) {
  std::array<unsigned char, 88> block{};
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<unsigned char>(i + 1);
  auto made = RecordLayer::create({cipher, is_client, block});
  if (made) return made;
  fprintf(stderr, "bench_tls_record: libcrypto is missing\n");
  exit(1);
}

// Medians over rounds of a few records each, as a busy connection has them.
void measure_records(const char* name, RecordCipher cipher, size_t size) {
  constexpr int rounds = 2000;
  constexpr int records = 4;
  const auto near = layer(cipher, true);
  const auto far = layer(cipher, false);
  const std::string plain(size, 'x');
  moat::Buffer wire;
  moat::Buffer answers;
  std::vector<double> sealing;
  std::vector<double> opening;
  const uint64_t before = allocations;
  sealing.reserve(rounds);
  opening.reserve(rounds);
  for (int round = 0; round < rounds; ++round) {
    auto start = Clock::now();
    for (int i = 0; i < records; ++i) {
      if (!near->seal(plain, wire)) abort();
    }
    sealing.push_back(nanoseconds_since(start) / records);
    start = Clock::now();
    const auto opened = far->open(wire.data(), wire.size(), answers);
    opening.push_back(nanoseconds_since(start) / records);
    if (opened.plain.size() != size * records) abort();
    wire.clear();
  }
  printf("%-20s %6zu bytes  seal %7.2f us  open %7.2f us  allocations %.3f a record\n", name, size,
         median(sealing) / 1000, median(opening) / 1000,
         static_cast<double>(allocations - before - 2) / (rounds * records));
}

struct End : moat::proxy::Transport::Handler {
  std::unique_ptr<moat::proxy::Transport> transport;
  size_t got = 0;
  bool echoes = false;
  bool ready = false;
  void on_ready(moat::proxy::Transport&) override { ready = true; }
  void on_input(moat::proxy::Transport& from) override {
    got += from.input().size();
    if (echoes) from.write(from.input());
    from.consume(from.input().size());
  }
  void on_end(moat::proxy::Transport&, bool) override {}
  void on_drained(moat::proxy::Transport&) override {}
  void on_error(moat::proxy::Transport&, const moat::Error& error) override {
    fprintf(stderr, "bench_tls_record: %s\n", error.message.c_str());
    exit(1);
  }
};

struct World {
  std::unique_ptr<moat::proxy::Ca> ca = need(moat::proxy::Ca::create("bench"));
  std::string file = "/tmp/bench_tls_record." + std::to_string(getpid()) + ".pem";
  moat::proxy::TrustStore trust{{file}};
  moat::proxy::TlsContext context{*ca, trust};
  moat::Loop loop;
  World() {
    FILE* out = fopen(file.c_str(), "w");
    if (out == nullptr || fputs(ca->pem().c_str(), out) < 0 || fclose(out) != 0) exit(1);
  }
  ~World() { unlink(file.c_str()); }

  void connect(End& near, End& far) {
    auto pair = need(moat::make_socket_pair(SOCK_STREAM));
    near.transport =
        std::make_unique<moat::proxy::Transport>(loop, std::move(pair.first), near, limits());
    far.transport =
        std::make_unique<moat::proxy::Transport>(loop, std::move(pair.second), far, limits());
    far.transport->start_tls(
        need(moat::proxy::TlsSession::server(context, "a.example", {"http/1.1"})));
    near.transport->start_tls(
        need(moat::proxy::TlsSession::client(context, "a.example", {"http/1.1"}, "a.example")));
    while (!near.ready || !far.ready) loop.turn(moat::Milliseconds(100));
  }
  static moat::Stream::Limits limits() { return {}; }
};

// Both ends in one process: halve it for one.
void measure_connection(World& world) {
  End near;
  End far;
  world.connect(near, far);
  far.echoes = true;
  constexpr int requests = 20'000;
  const std::string request(200, 'r');
  uint64_t before = allocations;
  auto start = Clock::now();
  for (int i = 0; i < requests; ++i) {
    near.transport->write(request);
    while (near.got < request.size() * static_cast<size_t>(i + 1))
      world.loop.turn(moat::Milliseconds(100));
  }
  printf("%-34s %7.2f us  allocations %.1f\n", "200 bytes there and back",
         nanoseconds_since(start) / 1000 / requests,
         static_cast<double>(allocations - before) / requests);
  far.echoes = false;
  constexpr size_t piece = 64 * 1024;
  constexpr size_t total = size_t{512} * 1024 * 1024;
  const std::string bytes(piece, 'b');
  near.got = far.got = 0;
  before = allocations;
  start = Clock::now();
  for (size_t sent = 0; far.got < total;) {
    while (sent < total && !near.transport->full()) {
      near.transport->write(bytes);
      sent += piece;
    }
    world.loop.turn(moat::Milliseconds(100));
  }
  printf("%-34s %7.2f us  allocations %.2f\n", "16 KiB of many, one way",
         nanoseconds_since(start) / 1000 / (total / 16384),
         static_cast<double>(allocations - before) / (total / 16384));
}

void measure_idle(World& world) {
  constexpr int count = 200;
  std::vector<std::unique_ptr<End>> ends;
  const auto connect = [&] {
    ends.push_back(std::make_unique<End>());
    ends.push_back(std::make_unique<End>());
    world.connect(*ends[ends.size() - 2], *ends.back());
    ends.back()->transport->write("one response");
    world.loop.turn(moat::Milliseconds(1));
  };
  connect();
  const size_t before = mallinfo2().uordblks;
  for (int i = 0; i < count; ++i) connect();
  printf("%-34s %7.0f bytes\n", "an idle transport with TLS",
         static_cast<double>(mallinfo2().uordblks - before) / (2 * count));
}

}  // namespace

extern "C" void* malloc(size_t size) {
  ++allocations;
  return __libc_malloc(size);
}

int main() {
  const struct {
    const char* name;
    RecordCipher cipher;
  } ciphers[] = {{"AES-128-GCM", RecordCipher::aes_128_gcm},
                 {"AES-256-GCM", RecordCipher::aes_256_gcm},
                 {"ChaCha20-Poly1305", RecordCipher::chacha20_poly1305}};
  for (const auto& row : ciphers) {
    for (const size_t size : {200, 16384}) measure_records(row.name, row.cipher, size);
  }
  World world;
  measure_connection(world);
  measure_idle(world);
}
