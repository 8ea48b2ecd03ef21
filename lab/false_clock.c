/* A clock that jumps, for the processes that load this: see false_clock.py. Monotonic time goes on,
   as it does where an administrator or NTP sets a clock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *ahead; /* seconds; the file is shared, so that it changes at once */

__attribute__((constructor)) static void load(void)
{
	const char *name = getenv("LAB_FALSE_CLOCK");
	int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;

	if (file < 0)
		return;
	void *page = mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, file, 0);
	if (page != MAP_FAILED)
		ahead = page;
	close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int failed = syscall(SYS_clock_gettime, clock, now);

	if (!failed && ahead && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += *ahead;
	return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec exact;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &exact);
	now->tv_sec = exact.tv_sec;
	now->tv_usec = exact.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *told)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (told)
		*told = now.tv_sec;
	return now.tv_sec;
}
