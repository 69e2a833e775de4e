// How nghttp2 is set up: its callbacks, its limits, its memory.
#include "proxy/http2_impl.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

#include "core/secret.h"

namespace moat::proxy {
namespace {

using Callbacks = Handle<nghttp2_session_callbacks, nghttp2_session_callbacks_del>;
using Options = Handle<nghttp2_option, nghttp2_option_del>;

// What we send was within the limits of whoever sent it to us, and has grown by a credential since.
constexpr size_t largest_block = 512 * 1024;

// nghttp2 keeps copies of what is sent, credentials among it, until it has left. They are wiped as
// they are freed.
namespace wiping {

constexpr size_t header = alignof(std::max_align_t);

void free(void* memory, void* /*user*/) noexcept {
  if (memory == nullptr) return;
  auto* start = static_cast<char*>(memory) - header;
  size_t size = 0;
  memcpy(&size, start, sizeof size);
  wipe(memory, size);
  ::free(start);
}

void* malloc(size_t size, void* /*user*/) noexcept {
  auto* start = static_cast<char*>(::malloc(size + header));
  if (start == nullptr) return nullptr;
  memcpy(start, &size, sizeof size);
  return start + header;
}

void* calloc(size_t count, size_t size, void* user) noexcept {
  if (size != 0 && count > (SIZE_MAX - header) / size) return nullptr;
  void* memory = wiping::malloc(count * size, user);
  if (memory != nullptr) memset(memory, 0, count * size);
  return memory;
}

void* realloc(void* memory, size_t size, void* user) noexcept {
  void* fresh = wiping::malloc(size, user);
  if (memory == nullptr || fresh == nullptr) return fresh;
  size_t old_size = 0;
  memcpy(&old_size, static_cast<char*>(memory) - header, sizeof old_size);
  memcpy(fresh, memory, std::min(old_size, size));
  wiping::free(memory, user);
  return fresh;
}

nghttp2_mem memory = {nullptr, wiping::malloc, wiping::free, wiping::calloc, wiping::realloc};

}  // namespace wiping

std::string_view text_of(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

// What nghttp2 calls: one cast and one call each.
struct Http2Connection::Hooks {
  static Impl& impl(void* user) noexcept { return *static_cast<Impl*>(user); }

  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* frame, void* user) noexcept {
    return impl(user).on_begin_frame(*frame);
  }
  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) noexcept {
    return impl(user).on_begin_headers(*frame);
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                       void* user) noexcept {
    return impl(user).on_header(*frame, text_of(name, name_size), text_of(value, value_size));
  }
  static int on_invalid_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                               size_t name_size, const uint8_t*, size_t, uint8_t,
                               void* user) noexcept {
    return impl(user).on_invalid_header(*frame, text_of(name, name_size));
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) noexcept {
    return impl(user).on_frame(*frame);
  }
  static int on_invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int error_code,
                              void* user) noexcept {
    return impl(user).on_invalid_frame(*frame, error_code);
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size,
                     void* user) noexcept {
    return impl(user).on_data(id, text_of(bytes, size));
  }
  static int on_stream_close(nghttp2_session*, int32_t id, uint32_t code, void* user) noexcept {
    return impl(user).on_stream_close(id, code);
  }
  static int before_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) noexcept {
    impl(user).before_frame(*frame);
    return 0;
  }
  static int on_frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) noexcept {
    impl(user).on_frame_sent(*frame);
    return 0;
  }
  static int on_frame_not_sent(nghttp2_session*, const nghttp2_frame* frame, int,
                               void* user) noexcept {
    impl(user).on_frame_not_sent(*frame);
    return 0;
  }
  static int on_complaint(nghttp2_session*, int, const char* text, size_t size,
                          void* user) noexcept {
    impl(user).on_complaint({text, size});
    return 0;
  }
  static ssize_t read_queue(nghttp2_session*, int32_t id, uint8_t*, size_t room, uint32_t* flags,
                            nghttp2_data_source*, void* user) noexcept {
    return impl(user).read_queue(id, room, flags);
  }
  static int send_queue(nghttp2_session*, nghttp2_frame* frame, const uint8_t* frame_header,
                        size_t count, nghttp2_data_source*, void* user) noexcept {
    return impl(user).send_queue(frame->hd.stream_id, frame_header, count);
  }

  static nghttp2_session_callbacks* all() {
    nghttp2_session_callbacks* made = nullptr;
    if (nghttp2_session_callbacks_new(&made) != 0) return nullptr;
    nghttp2_session_callbacks_set_on_begin_frame_callback(made, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(made, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(made, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(made, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(made, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, on_stream_close);
    nghttp2_session_callbacks_set_before_frame_send_callback(made, before_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(made, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(made, on_frame_not_sent);
    nghttp2_session_callbacks_set_error_callback2(made, on_complaint);
    nghttp2_session_callbacks_set_send_data_callback(made, send_queue);
    return made;
  }
};

namespace {

Options options(const Http2Limits& limits) {
  nghttp2_option* made = nullptr;
  if (nghttp2_option_new(&made) != 0) return nullptr;
  nghttp2_option_set_no_auto_window_update(made, 1);
  nghttp2_option_set_no_closed_streams(made, 1);
  nghttp2_option_set_max_send_header_block_length(made, largest_block);
  nghttp2_option_set_max_outbound_ack(made, limits.control_frames);
  return Options(made);
}

void preface(nghttp2_session* session, Http2Connection::Role role, const Http2Limits& limits) {
  std::vector<nghttp2_settings_entry> entries = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits.head_bytes)},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streams},
  };
  if (role == Http2Connection::Role::server) {
    entries.push_back({NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1});
    // No tree of priorities, which a peer could make us rebuild without end (RFC 9218 2.1).
    entries.push_back({NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1});
  } else {
    entries.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries.data(), entries.size());
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(limits.connection_window));
}

}  // namespace

void Http2Connection::Impl::begin() {
  const Callbacks callbacks(Hooks::all());
  const Options with = options(limits);
  nghttp2_session* made = nullptr;
  const int rc =
      role == Role::server
          ? nghttp2_session_server_new2(&made, callbacks.get(), this, with.get())
          : nghttp2_session_client_new3(&made, callbacks.get(), this, with.get(), &wiping::memory);
  if (rc != 0) throw std::bad_alloc();
  session.reset(made);
  preface(made, role, limits);
  flush_later();
}

nghttp2_data_provider Http2Connection::Impl::queue_provider() {
  return {{0}, Hooks::read_queue};
}

std::vector<nghttp2_nv> name_values(const Headers& fields, uint8_t flags) {
  std::vector<nghttp2_nv> out;
  out.reserve(fields.size());
  for (const Header& field : fields) {
    // nghttp2 reads them only.
    auto* name = reinterpret_cast<uint8_t*>(const_cast<char*>(field.name.data()));
    auto* value = reinterpret_cast<uint8_t*>(const_cast<char*>(field.value.data()));
    const bool pseudo = !field.name.empty() && field.name.front() == ':';
    out.push_back({name, value, field.name.size(), field.value.size(),
                   pseudo ? static_cast<uint8_t>(NGHTTP2_NV_FLAG_NONE) : flags});
  }
  return out;
}

}  // namespace moat::proxy
