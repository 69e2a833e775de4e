// What the tests of store/ share: a directory that goes again, a key, and small records in it.
#pragma once

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "core/crypto.h"
#include "core/handle.h"
#include "core/json.h"
#include "store/record.h"

namespace moat::test {

inline constexpr int64_t some_time = 1'700'000'000'123'456'000;

template <class T>
T need(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}
inline void need(const Result<void>& result) {
  if (!result) throw std::runtime_error(result.error().message);
}

inline void remove_tree(const std::string& path) {
  if (const Handle<DIR, closedir> directory(opendir(path.c_str())); directory) {
    while (const dirent* entry = readdir(directory.get())) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      const std::string inner = path + "/" + std::string(name);
      struct stat info {};
      if (lstat(inner.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
        remove_tree(inner);
      } else {
        unlink(inner.c_str());
      }
    }
  }
  rmdir(path.c_str());
}

struct TempDir {
  std::string path;
  TempDir() {
    const char* const base = getenv("TMPDIR");
    path = std::string(base != nullptr ? base : "/tmp") + "/moat-store-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("mkdtemp");
  }
  ~TempDir() { remove_tree(path); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
};

inline Json one(std::string_view key, Json value) {
  Json json = Json::object();
  json.set(key, std::move(value));
  return json;
}

// A directory with room for one record, and the key that signs it.
struct RecordTest {
  TempDir temp;
  std::string directory = temp.path;
  SigningKey key = need(SigningKey::generate());
  std::unique_ptr<store::RecordWriter> writer;
  std::unique_ptr<store::RecordReader> reader;

  void create() { writer = need(store::RecordWriter::create(directory, "a1b2c3d4e5f6", key)); }
  void open() { reader = need(store::RecordReader::open(directory)); }
  void begin() {
    create();
    need(writer->append_audit("run.created", some_time, one("image", "node:20")));
  }
  void line(std::string_view text, int stream = 1) {
    need(writer->append_output(stream, some_time, text));
  }
  void exchange(std::string_view host) {
    need(writer->append_audit("exchange", some_time, one("host", host)));
  }
  void end() {
    need(writer->append_audit("run.ended", some_time, one("status", 0)));
    need(writer->checkpoint());
    need(writer->commit());
  }
  // A whole small run: eight records, two checkpoints, the writer closed.
  void whole_run() {
    begin();
    line("first line\n");
    line("a complaint\n", 2);
    need(writer->append_audit("output", some_time, Json::object()));
    exchange("api.github.com");
    exchange("example.com");
    need(writer->checkpoint());
    need(writer->commit());
    line("last line\n");
    need(writer->append_audit("dns", some_time, one("name", "example.com")));
    need(writer->append_audit("signal", some_time, one("number", 15)));
    need(writer->append_span(one("name", "run")));
    need(writer->set_meta("state", "ended"));
    end();
    writer.reset();
  }
};

}  // namespace moat::test
