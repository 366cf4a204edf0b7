/*
 * Batches of frames between a descriptor and the arena of a frame pool, without a copy in between.
 *
 *   read    slot: ...headroom...| virtio-net header (10, 12, 24) | frame ... |      one read() puts both where they belong,
 *                                                                ^ off[row]        the header then fills the columns
 *
 *   write   writev( header on this stack, the frame in the arena )          the arena is not touched: a flooded frame is
 *                                                                           one row that several ports send
 *
 * Whatever the columns say, nothing outside the row's own slot is read or written: row, offset and length are taken into
 * locals once (other threads may write to the columns) and checked there.
 */
#include "tun-tap.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { IPV4_HEADER = 20, IPV6_HEADER = 40, UDP_HEADER = 8 };
enum { MOST_REFUSED = 64 }; /* frames that a call may read and refuse, so that it ends in any case */

static uint32_t shortest(const struct handle *h) {
  return h->tun ? IPV4_HEADER : ETHERNET_HEADER;
}

/* Reads at most `limit` bytes of frame. The kernel cuts what does not fit without a word, so one byte more than allowed is
 * asked for: when it comes, the frame was longer. */
static ssize_t read_frame(int fd, uint8_t *at, size_t limit, size_t room) {
  if (room > limit) return read(fd, at, limit + 1);
  uint8_t beyond;
  struct iovec parts[2] = {{at, limit}, {&beyond, 1}};
  return readv(fd, parts, 2);
}

void fill_columns(struct pool *t, uint32_t row, const uint8_t *from, uint32_t size) {
  struct virtio_header h = {0};
  memcpy(&h, from, size);
  t->flags[row] = h.flags & (NEEDS_CSUM | DATA_VALID);
  t->gso_type[row] = h.gso_type;
  t->gso_size[row] = h.gso_size;
  t->hdr_len[row] = h.hdr_len;
  t->csum_start[row] = h.csum_start;
  t->csum_offset[row] = h.csum_offset;
  if ((h.gso_type & GSO_TUNNEL) == 0) return;
  t->flags[row] |= h.flags & TUNNEL_CSUM;
  t->outer_l4[row] = le16toh(h.outer_l4);
  t->inner_l3[row] = le16toh(h.inner_l3);
}

/* Fills the rows that stand in `rows` with frames that wait, until there are no more; gives how many were filled. */
uint32_t frames_read(struct handle *handle, uint32_t count) {
  struct pool *t = &handle->pool;
  const uint32_t header = handle->header;
  uint32_t done = 0, oversize = 0, runt = 0, longest = 0;
  int error = 0;
  if (count > t->capacity) count = t->capacity;
  while (done < count && oversize + runt < MOST_REFUSED) {
    const uint32_t row = ONCE(t->rows[done]);
    if (row >= t->frames) {
      error = EFAULT;
      break;
    }
    const uint64_t slot = (uint64_t)row * t->stride, end = slot + t->stride;
    const uint64_t start = ONCE(t->off[row]);
    if (start < slot + header || start >= end) {
      error = EFAULT;
      break;
    }
    const uint64_t room = end - start, limit = room < t->frame_size ? room : t->frame_size;
    uint8_t *at = t->bytes + start - header;
    const ssize_t n = read_frame(handle->fd, at, limit + header, room + header);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) error = errno;
      break;
    }
    if ((size_t)n > limit + header) {
      oversize++;
      continue;
    }
    if (n == 0) { /* not a TAP: the end of a file or a pipe, which would be read for ever */
      error = ENODATA;
      break;
    }
    if ((size_t)n < header + shortest(handle)) {
      runt++;
      continue;
    }
    const uint32_t length = (uint32_t)n - header;
    t->len[row] = length;
    if (header != 0) fill_columns(t, row, at, header);
    if (length > longest) longest = length;
    done++;
  }
  t->result[RESULT_ERROR] = error;
  t->result[RESULT_OVERSIZE] = (int32_t)oversize;
  t->result[RESULT_RUNT] = (int32_t)runt;
  t->result[RESULT_BAD_OFFLOAD] = 0;
  t->result[RESULT_LONGEST] = (int32_t)longest;
  return done;
}

/* Reads and forgets up to `count` frames, for which there is no row; gives how many. */
uint32_t frames_discard(struct handle *handle, uint32_t count) {
  struct pool *t = &handle->pool;
  uint8_t scrap[64];
  uint32_t done = 0;
  int error = 0;
  if (count > t->capacity) count = t->capacity;
  while (done < count) {
    const ssize_t n = read(handle->fd, scrap, sizeof scrap);
    if (n > 0) {
      done++;
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) error = ENODATA;
    else if (errno != EAGAIN) error = errno;
    break;
  }
  t->result[RESULT_ERROR] = error;
  t->result[RESULT_OVERSIZE] = t->result[RESULT_RUNT] = t->result[RESULT_BAD_OFFLOAD] = t->result[RESULT_LONGEST] = 0;
  return done;
}

/* Whether the offsets of a tunnel super-frame are in their order, as the kernel wants them (virtio_net_hdr_tnl_to_skb). */
static bool tunnel_header(const struct handle *handle, uint32_t row, struct virtio_header *h, uint8_t flags) {
  const struct pool *t = &handle->pool;
  const bool v6 = (h->gso_type & GSO_TUNNEL) == GSO_TUNNEL_V6;
  const uint32_t l3 = handle->tun ? 0 : ETHERNET_HEADER;
  const uint16_t outer = ONCE(t->outer_l4[row]), inner = ONCE(t->inner_l3[row]);
  if (handle->header < sizeof *h || (h->gso_type & GSO_TUNNEL) == GSO_TUNNEL) return false;
  if (outer < l3 + (v6 ? IPV6_HEADER : IPV4_HEADER) || inner < outer + UDP_HEADER) return false;
  if (h->csum_start < inner + ((h->gso_type & GSO_KIND) == GSO_TCPV6 ? IPV6_HEADER : IPV4_HEADER)) return false;
  h->flags |= flags & TUNNEL_CSUM;
  h->outer_l4 = htole16(outer);
  h->inner_l3 = htole16(inner);
  return true;
}

/* What contradicts the frame the kernel would answer with EINVAL. */
bool make_header(const struct handle *handle, uint32_t row, uint32_t length, struct virtio_header *h) {
  const struct pool *t = &handle->pool;
  const uint8_t flags = ONCE(t->flags[row]), gso_type = ONCE(t->gso_type[row]);
  memset(h, 0, sizeof *h);
  h->flags = flags & (NEEDS_CSUM | DATA_VALID);
  if ((h->flags | gso_type) == 0) return true;
  uint32_t headers = 0;
  if (flags & NEEDS_CSUM) {
    h->csum_start = ONCE(t->csum_start[row]);
    h->csum_offset = ONCE(t->csum_offset[row]);
    headers = (uint32_t)h->csum_start + h->csum_offset + 2;
    if (h->csum_start < shortest(handle) || headers > length) return false;
  }
  if (gso_type != GSO_NONE) {
    const uint8_t kind = gso_type & (uint8_t)~(GSO_ECN | GSO_TUNNEL);
    h->gso_type = gso_type;
    h->gso_size = ONCE(t->gso_size[row]);
    if (h->gso_size == 0) return false;
    if (kind != GSO_TCPV4 && kind != GSO_TCPV6 && kind != GSO_UDP_L4) return false;
    if (!(flags & NEEDS_CSUM)) return false; /* segments get new checksums: where, if not there? */
    if ((gso_type & GSO_TUNNEL) && !tunnel_header(handle, row, h, flags)) return false;
    const uint32_t hint = ONCE(t->hdr_len[row]);
    if (hint > headers) headers = hint;
    h->hdr_len = (uint16_t)(headers > length ? length : headers);
  }
  return true;
}

static int write_frame(int fd, const struct virtio_header *h, size_t header, uint8_t *at, size_t length) {
  struct iovec parts[2] = {{(void *)h, header}, {at, length}};
  ssize_t n;
  do n = header != 0 ? writev(fd, parts, 2) : write(fd, at, length);
  while (n < 0 && errno == EINTR);
  return n < 0 ? errno : 0;
}

/* Writes the frames whose rows stand in `rows`, notes in `result[RESULT_STATUS + i]` what became of each, and gives how
 * many were sent. A queue that is full or a device that is down or gone ends the batch: the rest suffers the same. */
uint32_t frames_write(struct handle *handle, uint32_t count) {
  struct pool *t = &handle->pool;
  int32_t *status = t->result + RESULT_STATUS;
  const uint32_t vnet = handle->header;
  uint32_t sent = 0;
  int over = 0;
  if (count > t->capacity) count = t->capacity;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t row = ONCE(t->rows[i]);
    if (row >= t->frames) {
      status[i] = STATUS_OUTSIDE;
      continue;
    }
    const uint64_t slot = (uint64_t)row * t->stride, end = slot + t->stride;
    const uint64_t start = ONCE(t->off[row]), length = ONCE(t->len[row]);
    struct virtio_header header;
    if (start < slot || start > end || length > end - start) status[i] = STATUS_OUTSIDE;
    else if (length < shortest(handle)) status[i] = STATUS_RUNT;
    else if (vnet != 0 && !make_header(handle, row, (uint32_t)length, &header)) status[i] = STATUS_BAD_OFFLOAD;
    else if (over != 0) status[i] = over;
    else {
      const int error = write_frame(handle->fd, &header, vnet, t->bytes + start, length);
      status[i] = error;
      if (error == 0) sent++;
      else if (error == EAGAIN || error == EIO || error == EBADFD || error == EBADF || error == ENODEV) over = error;
    }
  }
  t->result[RESULT_ERROR] = over;
  return sent;
}
