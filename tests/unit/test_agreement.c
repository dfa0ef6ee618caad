/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The table of srtp_policy with a clock and a memory of our own in place of Kamailio's. */
#include "unit.h"

#include <core/mem/mem.h>
#include <core/mem/shm_mem.h>
#include <core/timer.h>

static size_t blocks;
static ticks_t now;

static void *take(size_t size)
{
	blocks++;
	return malloc(size);
}

static void give(void *block)
{
	blocks -= block != NULL;
	free(block);
}

ticks_t get_ticks(void)
{
	return now;
}

#undef shm_malloc
#undef shm_free
#undef pkg_malloc
#undef pkg_free
#define shm_malloc take
#define shm_free   give
#define pkg_malloc take
#define pkg_free   give

#include "../../modules/srtp_policy/agreement.c"

static int setup(void **state)
{
	(void)state;
	blocks = 0;
	now = 1000;
	return agreements_init(1 << 20);
}

static int teardown(void **state)
{
	(void)state;
	agreements_finish();
	return blocks != 0;
}

static struct agreement_id dialog_id(unsigned number)
{
	struct agreement_id id;

	snprintf(id.digest, sizeof(id.digest), "%032x", number);
	return id;
}

static const struct agreement_transaction invite1 = {.by_caller = true, .invite = true, .number = 1},
					  invite2 = {.by_caller = true, .invite = true, .number = 2},
					  update3 = {.by_caller = true, .number = 3},
					  of_callee = {.by_caller = false, .number = 1};

static int offers(unsigned dialog, struct agreement_transaction transaction, const char *text)
{
	struct agreement_id id = dialog_id(dialog);
	struct agreement_sdp sdp = {
		.by_caller = transaction.by_caller, .transaction = transaction, .text = span_of(text)};

	return agreement_offer(&id, &sdp);
}

static int answers(unsigned dialog, struct agreement_transaction transaction, const char *text)
{
	struct agreement_id id = dialog_id(dialog);
	struct agreement_sdp sdp = {
		.by_caller = !transaction.by_caller, .transaction = transaction, .text = span_of(text)};

	return agreement_answer(&id, &sdp, true);
}

static int undone(unsigned dialog, struct agreement_transaction transaction)
{
	struct agreement_id id = dialog_id(dialog);

	return agreement_undo(&id, &transaction);
}

static bool repeats(struct agreement_transaction transaction)
{
	struct agreement_id id = dialog_id(1);

	return agreement_repeats(&id, &transaction, transaction.by_caller, true);
}

static void assert_holds(const char *offer, const char *answer)
{
	struct agreement_id id = dialog_id(1);
	struct agreement_exchange exchange = {0};

	assert_int_equal(agreement_read(&id, &exchange), 0);
	assert_true(span_equal(exchange.offer, span_of(offer)));
	assert_true(span_equal(exchange.answer, span_of(answer)));
	agreement_exchange_free(&exchange);
}

static void agree(void)
{
	assert_int_equal(offers(1, invite1, "offer 1"), 0);
	assert_int_equal(answers(1, invite1, "answer 1"), 0);
	assert_holds("offer 1", "answer 1");
}

static void test_only_the_transaction_of_an_offer_undoes_it(void **state)
{
	(void)state;
	agree();
	offers(1, invite2, "offer 2");
	assert_int_equal(undone(1, invite1), -ENOENT);
	assert_int_equal(undone(1, (struct agreement_transaction){.by_caller = true, .number = 2}), -ENOENT);
	assert_int_equal(undone(1, (struct agreement_transaction){.invite = true, .number = 2}), -ENOENT);
	assert_holds("offer 2", "");
	assert_int_equal(undone(1, invite2), 0);
	assert_int_equal(undone(1, invite2), -ENOENT);
	assert_holds("offer 1", "answer 1");
}

static void test_only_its_own_answer_takes_an_offer(void **state)
{
	(void)state;
	agree();
	assert_false(repeats(invite1));
	offers(1, update3, "offer 3");
	assert_true(repeats(invite1));
	assert_false(repeats(update3));
	answers(1, invite1, "answer 1");
	assert_holds("offer 3", "");
	answers(1, update3, "answer 3");
	assert_holds("offer 3", "answer 3");
	assert_true(repeats(invite1));
	answers(1, invite1, "answer 1");
	assert_holds("offer 3", "answer 3");
}

static void test_a_provisional_after_the_answer_is_in_vain(void **state)
{
	struct agreement_id id = dialog_id(1);
	(void)state;
	assert_false(agreement_repeats(&id, &invite1, true, false));
	offers(1, invite1, "offer 1");
	assert_false(agreement_repeats(&id, &invite1, true, false));
	agreement_final(&id, &invite1);
	assert_true(agreement_repeats(&id, &invite1, true, false));
	assert_false(agreement_repeats(&id, &invite1, true, true));
	answers(1, invite1, "answer 1");
	assert_true(agreement_repeats(&id, &invite1, true, false));
	assert_false(agreement_repeats(&id, &invite1, true, true));
	assert_true(agreement_repeats(&id, &invite1, false, false));
	assert_false(agreement_repeats(&id, &invite2, true, false));
	offers(1, invite2, "offer 2");
	assert_false(agreement_repeats(&id, &invite2, true, false));
}

/* The callee's, in a response; its answer is in the caller's ACK or PRACK. */
static int offers_late(const char *text)
{
	struct agreement_id id = dialog_id(1);
	struct agreement_sdp sdp = {.by_caller = false, .transaction = invite1, .text = span_of(text)};

	return agreement_offer(&id, &sdp);
}

static int answers_late(struct agreement_transaction transaction, const char *text)
{
	struct agreement_id id = dialog_id(1);
	struct agreement_sdp sdp = {.by_caller = true, .transaction = transaction, .text = span_of(text)};

	return agreement_answer(&id, &sdp, true);
}

static void test_a_late_offer_said_twice_does_not_wait_again(void **state)
{
	static const struct agreement_transaction prack = {.by_caller = true}, *const pass_in[] = {&invite1, &prack};
	struct agreement_id id = dialog_id(1);
	bool by_caller;
	(void)state;
	for (int i = 0; i < 2; i++) {
		offers_late("offer");
		answers_late(*pass_in[i], "answer");
		offers_late("offer");
		assert_holds("offer", "answer");
		assert_int_equal(undone(1, invite1), -ENOENT);
		offers_late("of another fork");
		assert_holds("of another fork", "");
		assert_int_equal(agreement_forget(&id, &by_caller), 0);
	}
}

static void test_a_late_offer_is_in_vain_after_newer_ones(void **state)
{
	struct agreement_id id = dialog_id(1);
	(void)state;
	offers_late("offer");
	assert_false(agreement_repeats(&id, &invite1, false, true));
	answers_late(invite1, "answer");
	assert_false(agreement_repeats(&id, &invite1, false, true));
	offers(1, update3, "offer 3");
	assert_true(agreement_repeats(&id, &invite1, false, true));
	answers(1, update3, "answer 3");
	assert_true(agreement_repeats(&id, &invite1, false, true));
}

static void test_the_answer_in_a_prack_is_to_what_waits(void **state)
{
	(void)state;
	offers(1, invite1, "late offer");
	answers(1, (struct agreement_transaction){.by_caller = true}, "answer");
	assert_holds("late offer", "answer");
}

static void test_an_offer_waits_as_long_as_it_may_ring(void **state)
{
	(void)state;
	agree();
	offers(1, invite2, "offer 2");
	now += 300;
	offers(1, of_callee, "offer of the callee");
	assert_int_equal(undone(1, of_callee), 0);
	assert_holds("offer 2", "");
	now += 20;
	assert_holds("offer 1", "answer 1");
	offers(1, update3, "offer 3");
	now += 41;
	assert_holds("offer 1", "answer 1");
}

static void test_an_answer_is_news(void **state)
{
	struct agreement_id id = dialog_id(1);
	struct agreement_exchange exchange = {0};
	(void)state;
	offers(1, invite1, "offer 1");
	assert_int_equal(agreement_read(&id, &exchange), 0);
	agreement_exchange_free(&exchange);
	assert_int_equal(agreement_read(&id, &exchange), -ENOENT);
	answers(1, invite1, "answer 1");
	assert_int_equal(agreement_read(&id, &exchange), 0);
	agreement_exchange_free(&exchange);
}

/* Two offers that crossed are refused: who tells rtpengine that the other one waits must hear that it does no more. */
static void test_an_offer_that_comes_to_nothing_is_news(void **state)
{
	struct agreement_id id = dialog_id(1);
	struct agreement_exchange exchange = {0};
	(void)state;
	agree();
	offers(1, invite2, "of the caller");
	offers(1, of_callee, "of the callee");
	assert_int_equal(undone(1, invite2), 0);
	assert_int_equal(agreement_read(&id, &exchange), 0);
	assert_true(span_equal(exchange.offer, SPAN_LIT("of the callee")));
	agreement_exchange_free(&exchange);
	assert_int_equal(undone(1, of_callee), 0);
	assert_int_equal(agreement_read(&id, &exchange), 0);
	assert_true(span_equal(exchange.offer, SPAN_LIT("offer 1")));
	agreement_exchange_free(&exchange);
	assert_int_equal(agreement_read(&id, &exchange), -ENOENT);
}

static void test_a_dialog_in_which_nothing_was_agreed_leaves_nothing(void **state)
{
	size_t before = blocks;
	struct agreement_id id = dialog_id(1);
	struct agreement_exchange exchange = {0};
	(void)state;
	for (unsigned dialog = 1; dialog <= 100; dialog++) {
		offers(dialog, invite1, "offer");
		assert_int_equal(undone(dialog, invite1), 0);
	}
	assert_int_equal(blocks, before);
	assert_int_equal(table->used, 0);
	assert_int_equal(agreement_read(&id, &exchange), -ENODATA);
}

static void test_dialogs_whose_end_was_not_seen_are_swept(void **state)
{
	size_t before = blocks;
	(void)state;
	for (unsigned dialog = 1; dialog <= 100; dialog++)
		offers(dialog, invite1, "offer");
	agree();
	now += 601;
	agreements_sweep();
	assert_holds("offer 1", "answer 1");
	assert_int_equal(table->dialogs, 1);
	now += 86401;
	agreements_sweep();
	assert_int_equal(blocks, before);
	assert_int_equal(table->used, 0);
}

static void test_dialogs_are_bounded(void **state)
{
	unsigned dialog = 1;
	char text[1000] = "";
	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	while (dialog < 100000 && offers(dialog, invite1, "") == 0)
		dialog++;
	assert_in_range(dialog * sizeof(struct dialog), (1 << 20) - 1000, (1 << 20) + 1000);
	assert_int_equal(offers(1, invite2, text), 0);
	struct agreement_id id = dialog_id(1);
	struct agreement_exchange exchange = {0};
	assert_int_equal(agreement_read(&id, &exchange), -ENODATA);
	bool by_caller = false;
	assert_int_equal(agreement_forget(&id, &by_caller), 0);
	assert_true(by_caller);
	assert_int_equal(agreement_forget(&id, &by_caller), -ENOENT);
	assert_int_equal(offers(dialog, invite1, ""), 0);
}

/* An answer with keys, or without; who has been secured then is what was said of it before. */
static uint32_t live = UINT32_MAX;

static struct media_label answered(struct agreement_transaction transaction, uint32_t secured, bool final)
{
	struct agreement_id id = dialog_id(1);
	struct agreement_sdp sdp = {.by_caller = !transaction.by_caller,
				    .transaction = transaction,
				    .secured = secured,
				    .live = live,
				    .text = SPAN_LIT("")};
	struct media_label label = agreement_label(&id, &sdp, final);

	assert_int_equal(agreement_answer(&id, &sdp, final), 0);
	for (int caller = 0; caller <= 1; caller++) {
		enum media_end end = caller ? MEDIA_CALLER : MEDIA_CALLEE;
		assert_int_equal(agreement_secured(&id, caller, true), label.firm[end]);
		assert_int_equal(agreement_secured(&id, caller, false), label.firm[end] | label.loose[end]);
	}
	return label;
}

static void offered(struct agreement_transaction transaction, uint32_t secured)
{
	struct agreement_id id = dialog_id(1);
	struct agreement_sdp sdp = {.by_caller = transaction.by_caller,
				    .transaction = transaction,
				    .secured = secured,
				    .text = SPAN_LIT("")};

	assert_int_equal(agreement_offer(&id, &sdp), 0);
}

#define assert_label(label, ...) assert_same(label, (struct media_label)__VA_ARGS__)

static void assert_same(struct media_label label, struct media_label expected)
{
	assert_memory_equal(&label, &expected, sizeof(label));
}

static void test_a_label_says_who_will_have_been_secured(void **state)
{
	(void)state;
	assert_label(answered(invite1, 1, false), {.loose = {[MEDIA_CALLEE] = 1}});
	offered(invite1, 1);
	assert_label(answered(invite1, 1, false), {.firm = {[MEDIA_CALLEE] = 1}, .loose = {1, 1}});
	assert_label(answered(invite1, 0, false), {.firm = {[MEDIA_CALLEE] = 1}, .loose = {[MEDIA_CALLER] = 1}});
	assert_label(answered(invite1, 0, true), {.firm = {1, 1}, .loose = {[MEDIA_CALLER] = 1}});
	offered(invite2, 0);
	assert_label(answered(invite2, 0, true), {.firm = {1, 1}});
}

static void test_it_says_so_of_each_section(void **state)
{
	(void)state;
	offered(invite1, 1);
	assert_label(answered(invite1, UINT32_MAX, true), {.firm = {[MEDIA_CALLER] = 1, [MEDIA_CALLEE] = UINT32_MAX},
							   .loose = {[MEDIA_CALLER] = 1, [MEDIA_CALLEE] = UINT32_MAX}});
	offered(invite2, 4);
	assert_label(answered(invite2, 2, true), {.firm = {[MEDIA_CALLER] = 5, [MEDIA_CALLEE] = UINT32_MAX},
						  .loose = {[MEDIA_CALLER] = 4, [MEDIA_CALLEE] = 2}});
}

static void test_what_the_answer_rejects_was_never_secured(void **state)
{
	(void)state;
	offered(invite1, 5);
	live = 6;
	assert_label(answered(invite1, 0, true), {.firm = {[MEDIA_CALLER] = 4}, .loose = {[MEDIA_CALLER] = 4}});
	offered(invite2, UINT32_MAX);
	assert_label(answered(invite2, 0, true),
		     {.firm = {[MEDIA_CALLER] = UINT32_MAX}, .loose = {[MEDIA_CALLER] = UINT32_MAX}});
	live = UINT32_MAX;
}

static void test_a_2xx_without_sdp_makes_the_answer_before_it_the_last(void **state)
{
	struct agreement_id id = dialog_id(1);
	(void)state;
	agreement_settle(&id, &invite1);
	assert_false(agreement_known(&id));
	offered(invite1, 0);
	answered(invite1, 1, false);
	assert_false(agreement_secured(&id, false, true));
	assert_false(agreement_repeats(&id, &invite1, true, false));
	agreement_settle(&id, &invite1);
	assert_true(agreement_secured(&id, false, true));
	assert_true(agreement_repeats(&id, &invite1, true, false));
}

static void test_what_rtpengine_says_is_known_like_what_was_heard(void **state)
{
	struct agreement_id id = dialog_id(1);
	(void)state;
	assert_false(agreement_known(&id));
	assert_int_equal(agreement_recall(&id, &(struct media_label){.firm = {[MEDIA_CALLER] = 1},
								     .loose = {[MEDIA_CALLEE] = 1}}),
			 0);
	assert_true(agreement_known(&id));
	assert_true(agreement_secured(&id, true, true));
	assert_false(agreement_secured(&id, false, true));
	assert_true(agreement_secured(&id, false, false));
	assert_label(answered(invite1, 0, true), {.firm = {[MEDIA_CALLER] = 1}});
	assert_false(repeats(invite1));
	offered(update3, 0);
	assert_true(repeats(invite1));
	assert_int_equal(undone(1, update3), 0);
	assert_true(agreement_known(&id));
}

static void test_what_rtpengine_says_takes_nothing_back(void **state)
{
	struct agreement_id id = dialog_id(1);
	(void)state;
	offered(invite1, 1);
	answered(invite1, 0, true);
	assert_int_equal(agreement_recall(&id, &(struct media_label){.firm = {[MEDIA_CALLEE] = 1}}), 0);
	assert_true(agreement_secured(&id, true, true));
	assert_true(agreement_secured(&id, false, true));
}

/* ------- the end ------- */

static void test_a_dialog_that_is_over_is_forgotten_once(void **state)
{
	struct agreement_id id = dialog_id(1);
	bool by_caller = true;
	(void)state;
	assert_int_equal(agreement_forget(&id, &by_caller), -ENOENT);
	offered(of_callee, 0);
	assert_int_equal(agreement_forget(&id, &by_caller), 0);
	assert_false(by_caller);
	assert_false(agreement_known(&id));
	assert_int_equal(agreement_forget(&id, &by_caller), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_only_the_transaction_of_an_offer_undoes_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_its_own_answer_takes_an_offer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_provisional_after_the_answer_is_in_vain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_late_offer_said_twice_does_not_wait_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_late_offer_is_in_vain_after_newer_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_2xx_without_sdp_makes_the_answer_before_it_the_last, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_the_answer_in_a_prack_is_to_what_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_offer_waits_as_long_as_it_may_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_answer_is_news, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_offer_that_comes_to_nothing_is_news, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_dialog_in_which_nothing_was_agreed_leaves_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_dialogs_whose_end_was_not_seen_are_swept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dialogs_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_label_says_who_will_have_been_secured, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_says_so_of_each_section, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_the_answer_rejects_was_never_secured, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_rtpengine_says_is_known_like_what_was_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_rtpengine_says_takes_nothing_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_dialog_that_is_over_is_forgotten_once, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
