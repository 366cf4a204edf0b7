/*
 * Waiting for several descriptors at once. They are put in an epoll set, and there are two ways to wait for it:
 *
 *   on the event loop   libuv watches the epoll descriptor: one call into JavaScript a wake-up, however many are ready
 *   blocking            spins for a while with sched_yield(), then sleeps: for a worker thread that does nothing else
 *
 * The set is level-triggered. A TAP whose device or namespace was deleted is in error for ever, and would wake its waiter
 * for ever: `waiter_errors` names it.
 */
#include "tun-tap.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

int waiter_create(void) {
  return epoll_create1(EPOLL_CLOEXEC);
}

int waiter_add(int epoll, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

int waiter_remove(int epoll, int fd) {
  struct epoll_event event = {0};
  return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &event) == 0 ? 0 : errno;
}

uint32_t waiter_errors(int epoll, int32_t *fds, uint32_t max) {
  struct epoll_event events[64];
  int n = epoll_wait(epoll, events, 64, 0);
  uint32_t found = 0;
  for (int i = 0; i < n && found < max; i++) {
    if (events[i].events & (EPOLLERR | EPOLLHUP)) fds[found++] = events[i].data.fd;
  }
  return found;
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool waiter_idle(int epoll, uint64_t spin_ns, uint64_t sleep_ns) {
  if (spin_ns > 0) {
    const uint64_t until = now_ns() + spin_ns;
    struct epoll_event event;
    do {
      if (epoll_wait(epoll, &event, 1, 0) > 0) return true;
      sched_yield();
    } while (now_ns() < until);
  }
  /* ppoll on the set rather than epoll_wait: its timeout is in nanoseconds. */
  struct pollfd set = {.fd = epoll, .events = POLLIN};
  struct timespec sleep = {(time_t)(sleep_ns / 1000000000u), (long)(sleep_ns % 1000000000u)};
  return ppoll(&set, 1, &sleep, NULL) > 0;
}

/*
 * The few declarations of libuv's stable ABI that are needed. Node exports them; its headers are not on every machine that
 * has Node. The size of a handle is asked for, its data pointer is reached by functions: nothing here knows its layout.
 */
typedef struct uv_loop_s uv_loop_t;
typedef struct uv_handle_s uv_handle_t;
enum { UV_POLL_TYPE = 8, UV_READABLE_EVENT = 1 };
extern size_t uv_handle_size(int type);
extern int uv_poll_init(uv_loop_t *loop, uv_handle_t *handle, int fd);
extern int uv_poll_start(uv_handle_t *handle, int events, void (*cb)(uv_handle_t *, int status, int events));
extern int uv_poll_stop(uv_handle_t *handle);
extern void uv_close(uv_handle_t *handle, void (*cb)(uv_handle_t *));
extern void uv_handle_set_data(uv_handle_t *handle, void *data);
extern void *uv_handle_get_data(const uv_handle_t *handle);

struct watch {
  napi_env env;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
  uv_handle_t *poll;
  bool closing; /* libuv has been asked to let go */
  bool ending;  /* the environment ends: what it owns, it frees itself */
};

static void readable(uv_handle_t *poll, int status, int events) {
  struct watch *w = uv_handle_get_data(poll);
  (void)status;
  (void)events;
  if (w->closing) return;
  napi_env env = w->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value callback, global;
  if (napi_get_reference_value(env, w->callback, &callback) == napi_ok && callback != NULL &&
      napi_get_global(env, &global) == napi_ok &&
      napi_make_callback(env, w->context, global, callback, 0, NULL, NULL) == napi_pending_exception) {
    napi_value error;
    if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

/* libuv has let go. Only now is the callback given up: `watch_stop` may have been called from inside it. */
static void closed(uv_handle_t *poll) {
  struct watch *w = uv_handle_get_data(poll);
  napi_handle_scope scope;
  if (!w->ending && napi_open_handle_scope(w->env, &scope) == napi_ok) {
    napi_delete_reference(w->env, w->callback);
    napi_async_destroy(w->env, w->context);
    napi_close_handle_scope(w->env, scope);
  }
  napi_remove_async_cleanup_hook(w->hook);
  free(poll);
  free(w);
}

/* The environment ends while the watch is on: libuv must let go of it before the loop is closed. */
static void environment_ends(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  struct watch *w = data;
  w->ending = true;
  watch_stop(w);
}

struct watch *watch_start(napi_env env, int epoll, napi_value callback) {
  uv_loop_t *loop;
  napi_value name;
  struct watch *w = calloc(1, sizeof *w);
  uv_handle_t *poll = calloc(1, uv_handle_size(UV_POLL_TYPE));
  if (w == NULL || poll == NULL) goto no_memory;
  w->env = env;
  w->poll = poll;
  if (napi_get_uv_event_loop(env, (struct uv_loop_s **)&loop) != napi_ok) goto no_memory;
  if (napi_create_reference(env, callback, 1, &w->callback) != napi_ok) goto no_memory;
  if (napi_create_string_utf8(env, "tun-tap", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_async_init(env, NULL, name, &w->context) != napi_ok) {
    goto no_context;
  }
  if (uv_poll_init(loop, poll, epoll) != 0) goto no_poll;
  uv_handle_set_data(poll, w);
  if (napi_add_async_cleanup_hook(env, environment_ends, w, &w->hook) != napi_ok) goto no_hook;
  if (uv_poll_start(poll, UV_READABLE_EVENT, readable) != 0) {
    watch_stop(w);
    return NULL;
  }
  return w;

no_hook:
  uv_close(poll, (void (*)(uv_handle_t *))free);
  poll = NULL;
no_poll:
  napi_async_destroy(env, w->context);
no_context:
  napi_delete_reference(env, w->callback);
no_memory:
  free(poll);
  free(w);
  return NULL;
}

void watch_pause(struct watch *w, bool pause) {
  if (pause) uv_poll_stop(w->poll);
  else uv_poll_start(w->poll, UV_READABLE_EVENT, readable);
}

void watch_stop(struct watch *w) {
  if (w->closing) return;
  w->closing = true;
  uv_close(w->poll, closed);
}
