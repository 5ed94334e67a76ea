/* Makes the traffic that the network's tests and its bench count: many connections, round trips, datagrams. Every command
 * prints one line of JSON. Both families; addresses are numeric.
 *
 *   serve ADDRESS PORT                           TCP PORT: answers what it gets once, then closes (as HTTP/1.0 does);
 *                                                TCP PORT+1 and UDP PORT+1: echo. Prints {"ready":true}, runs until killed.
 *   connections ADDRESS PORT SECONDS COUNT PROCESSES
 *                                                a new connection for each 64 bytes there and back, until SECONDS are over
 *                                                or COUNT were made (0: no bound)
 *   round-trips ADDRESS PORT SECONDS             64 bytes to and fro on one connection
 *   datagrams ADDRESS PORT SECONDS BYTES         UDP echoes with 32 under way
 *   idle ADDRESS PORT COUNT                      opens COUNT connections, says so, and at a line on stdin asks each of them
 *                                                for an echo
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_BYTES = 64, DATAGRAMS_UNDER_WAY = 32, LONGEST_WAIT_SECONDS = 5 };

struct place {
	struct sockaddr_storage address;
	socklen_t size;
};

static struct place place_of(const char *text, int port)
{
	struct place place = { .size = 0 };
	struct sockaddr_in *v4 = (void *)&place.address;
	struct sockaddr_in6 *v6 = (void *)&place.address;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		place.size = sizeof *v4;
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		place.size = sizeof *v6;
	} else {
		fprintf(stderr, "\"%s\" is no address\n", text);
		exit(2);
	}
	return place;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int open_socket(const struct place *place, int type)
{
	int fd = socket(place->address.ss_family, type, 0), on = 1;

	if (fd < 0)
		fail("socket");
	if ((type & SOCK_STREAM) == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

/* ---- server ---- */

enum service { ANSWER_LISTENER, ECHO_LISTENER, ECHO_DATAGRAMS, ANSWER, ECHO };

static void watch(int poll_fd, int fd, enum service service)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)service << 32 | (uint32_t)fd };

	if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("epoll_ctl");
}

static int bound_socket(const char *address, int port, int type)
{
	struct place place = place_of(address, port);
	int fd = open_socket(&place, type | SOCK_NONBLOCK), on = 1, large = 4 << 20;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (type == SOCK_DGRAM)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large);
	if (bind(fd, (void *)&place.address, place.size) < 0)
		fail("bind");
	if (type == SOCK_STREAM && listen(fd, 4096) < 0)
		fail("listen");
	return fd;
}

static void accept_all(int poll_fd, int listener, enum service service)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		watch(poll_fd, fd, service);
	}
}

static void echo_datagrams(int fd, char *buffer, size_t size)
{
	for (int i = 0; i < 64; i++) {
		struct sockaddr_storage peer;
		socklen_t peer_size = sizeof peer;
		ssize_t got = recvfrom(fd, buffer, size, MSG_DONTWAIT, (void *)&peer, &peer_size);

		if (got < 0)
			return;
		sendto(fd, buffer, got, 0, (void *)&peer, peer_size);
	}
}

static void answer(int fd, enum service service, char *buffer, size_t size)
{
	ssize_t got = read(fd, buffer, size);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got > 0 && write(fd, buffer, got) == got && service == ECHO)
		return;
	close(fd);
}

static _Noreturn void serve(const char *address, int port)
{
	static char buffer[65536];
	struct epoll_event events[128];
	int poll_fd = epoll_create1(0);

	watch(poll_fd, bound_socket(address, port, SOCK_STREAM), ANSWER_LISTENER);
	watch(poll_fd, bound_socket(address, port + 1, SOCK_STREAM), ECHO_LISTENER);
	watch(poll_fd, bound_socket(address, port + 1, SOCK_DGRAM), ECHO_DATAGRAMS);
	printf("{\"ready\":true}\n");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(poll_fd, events, 128, -1);

		for (int i = 0; i < count; i++) {
			int fd = (int)(uint32_t)events[i].data.u64;
			enum service service = events[i].data.u64 >> 32;

			switch (service) {
			case ANSWER_LISTENER:
				accept_all(poll_fd, fd, ANSWER);
				break;
			case ECHO_LISTENER:
				accept_all(poll_fd, fd, ECHO);
				break;
			case ECHO_DATAGRAMS:
				echo_datagrams(fd, buffer, sizeof buffer);
				break;
			default:
				answer(fd, service, buffer, sizeof buffer);
			}
		}
	}
}

/* ---- clients ---- */

static int one_connection(const struct place *place)
{
	char request[REQUEST_BYTES], reply[REQUEST_BYTES];
	struct timeval longest = { .tv_sec = LONGEST_WAIT_SECONDS };
	int fd = open_socket(place, SOCK_STREAM);
	ssize_t all = 0, got = -1;

	memset(request, 'x', sizeof request);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof longest);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof longest);
	if (connect(fd, (void *)&place->address, place->size) == 0 && write(fd, request, sizeof request) == sizeof request)
		while ((got = read(fd, reply, sizeof reply)) > 0)
			all += got;
	close(fd);
	return got == 0 && all == REQUEST_BYTES;
}

static int connections(const struct place *place, double seconds, long count, int processes)
{
	double began = now();
	long sum[2] = { 0, 0 }, part[2];
	int results[2];

	if (pipe(results) < 0)
		fail("pipe");
	for (int i = 0; i < processes; i++) {
		long mine = count / processes + (i < count % processes), done[2] = { 0, 0 };

		if (fork() != 0)
			continue;
		while ((seconds == 0 || now() - began < seconds) && (count == 0 || done[0] + done[1] < mine))
			done[!one_connection(place)]++;
		_exit(write(results[1], done, sizeof done) != sizeof done);
	}
	close(results[1]);
	while (read(results[0], part, sizeof part) == sizeof part) {
		sum[0] += part[0];
		sum[1] += part[1];
	}
	double took = now() - began;

	while (wait(NULL) > 0)
		;
	printf("{\"done\":%ld,\"failed\":%ld,\"perSecond\":%.1f}\n", sum[0], sum[1], sum[0] / took);
	return 0;
}

static int compare(const void *one, const void *other)
{
	float difference = *(const float *)one - *(const float *)other;

	return (difference > 0) - (difference < 0);
}

static int round_trips(const struct place *place, double seconds)
{
	enum { MOST = 2000000 };
	static float micros[MOST];
	char bytes[REQUEST_BYTES] = "";
	int fd = open_socket(place, SOCK_STREAM), count = 0;
	double end = now() + seconds;

	if (connect(fd, (void *)&place->address, place->size) < 0)
		fail("connect");
	while (now() < end && count < MOST) {
		double began = now();

		if (write(fd, bytes, sizeof bytes) != sizeof bytes || recv(fd, bytes, sizeof bytes, MSG_WAITALL) != sizeof bytes)
			fail("round trip");
		micros[count++] = (now() - began) * 1e6;
	}
	qsort(micros, count, sizeof *micros, compare);
	printf("{\"count\":%d,\"medianMicros\":%.1f,\"p99Micros\":%.1f}\n", count, micros[count / 2],
	       micros[(long)count * 99 / 100]);
	return 0;
}

static int datagrams(const struct place *place, double seconds, int size)
{
	static char bytes[65536];
	int fd = open_socket(place, SOCK_DGRAM);
	long answers = 0, lost = 0;
	double began = now();

	if (connect(fd, (void *)&place->address, place->size) < 0)
		fail("connect");
	for (int i = 0; i < DATAGRAMS_UNDER_WAY; i++)
		send(fd, bytes, size, 0);
	while (now() - began < seconds) {
		struct pollfd readable = { .fd = fd, .events = POLLIN };

		if (poll(&readable, 1, 100) == 0) {
			lost += DATAGRAMS_UNDER_WAY;
			for (int i = 0; i < DATAGRAMS_UNDER_WAY; i++)
				send(fd, bytes, size, 0);
		}
		while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
			answers++;
			send(fd, bytes, size, 0);
		}
	}
	printf("{\"answers\":%ld,\"lost\":%ld,\"perSecond\":%.1f}\n", answers, lost, answers / (now() - began));
	return 0;
}

static int idle(const struct place *place, int count)
{
	int *fds = calloc(count, sizeof *fds), open = 0, alive = 0;
	struct timeval longest = { .tv_sec = LONGEST_WAIT_SECONDS };
	char byte = 'x';

	for (int i = 0; i < count; i++) {
		int fd = open_socket(place, SOCK_STREAM);

		if (connect(fd, (void *)&place->address, place->size) == 0)
			fds[open++] = fd;
		else
			close(fd);
	}
	printf("{\"open\":%d}\n", open);
	fflush(stdout);
	if (getchar() == EOF)
		return 0;
	for (int i = 0; i < open; i++) {
		setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof longest);
		alive += write(fds[i], &byte, 1) == 1 && read(fds[i], &byte, 1) == 1;
	}
	printf("{\"alive\":%d}\n", alive);
	return 0;
}

int main(int count, char **words)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (count < 4)
		return 2;
	const char *command = words[1];
	int port = atoi(words[3]);
	struct place place = place_of(words[2], port);

	if (!strcmp(command, "serve"))
		serve(words[2], port);
	if (!strcmp(command, "connections") && count == 7)
		return connections(&place, atof(words[4]), atol(words[5]), atoi(words[6]));
	if (!strcmp(command, "round-trips") && count == 5)
		return round_trips(&place, atof(words[4]));
	if (!strcmp(command, "datagrams") && count == 6)
		return datagrams(&place, atof(words[4]), atoi(words[5]));
	if (!strcmp(command, "idle") && count == 5)
		return idle(&place, atoi(words[4]));
	return 2;
}
