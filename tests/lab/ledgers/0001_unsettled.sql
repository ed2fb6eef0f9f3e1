PRAGMA application_id = 1330467660;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num TEXT NOT NULL, 
	CONSTRAINT pk_alembic_version PRIMARY KEY (version_num)
)
 STRICT

;
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE balances (
	subaccount INTEGER NOT NULL, 
	balance_e6 INTEGER NOT NULL, 
	portfolio_value_e6 INTEGER NOT NULL, 
	as_of_ms INTEGER NOT NULL, 
	CONSTRAINT pk_balances PRIMARY KEY (subaccount)
)
 STRICT

;
CREATE TABLE batches (
	"key" INTEGER NOT NULL, 
	batch_key TEXT NOT NULL, 
	name TEXT, 
	source TEXT NOT NULL, 
	state TEXT NOT NULL, 
	content_digest BLOB NOT NULL, 
	row_count INTEGER NOT NULL, 
	created_at_us INTEGER NOT NULL, 
	CONSTRAINT pk_batches PRIMARY KEY ("key"), 
	CONSTRAINT ck_batches_source_known CHECK (source IN ('file', 'stdin', 'flags', 'api', 'retry')), 
	CONSTRAINT ck_batches_state_known CHECK (state IN ('recording', 'recorded')), 
	CONSTRAINT ck_batches_row_count_positive CHECK (row_count >= 0), 
	CONSTRAINT uq_batches_batch_key UNIQUE (batch_key)
)
 STRICT

;
INSERT INTO "batches" VALUES(1,'2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881','x','file','recorded',X'2D711642B726B04401627CA9FBAC32F5C8530FB1903CC4DB02258717921A4881',6,1763800000000000);
CREATE TABLE commands (
	"key" INTEGER NOT NULL, 
	order_key INTEGER NOT NULL, 
	batch_key INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	state TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	live TEXT NOT NULL, 
	id_taken INTEGER NOT NULL, 
	epoch INTEGER, 
	first_signed_ms INTEGER, 
	last_signed_ms INTEGER, 
	not_before_us INTEGER NOT NULL, 
	expires_at_us INTEGER, 
	reason TEXT, 
	detail TEXT, 
	recorded_seq INTEGER NOT NULL, 
	digest BLOB NOT NULL, 
	created_at_us INTEGER NOT NULL, 
	updated_at_us INTEGER NOT NULL, 
	CONSTRAINT pk_commands PRIMARY KEY ("key"), 
	CONSTRAINT ck_commands_kind_known CHECK (kind IN ('create', 'cancel')), 
	CONSTRAINT ck_commands_state_known CHECK (state IN ('queued', 'on_wire', 'in_doubt', 'accepted', 'refused', 'withdrawn', 'absent', 'parked')), 
	CONSTRAINT ck_commands_reason_known CHECK (reason IN ('refused', 'id_consumed', 'expired', 'withdrawn', 'halted', 'proven_absent', 'cancel_requested', 'moot', 'no_effect', 'no_answer', 'sender_died', 'id_taken', 'conflict', 'waiting', 'resolved_by_hand')), 
	CONSTRAINT ck_commands_id_taken_flag CHECK (id_taken IN (0, 1)), 
	CONSTRAINT ck_commands_attempts_positive CHECK (attempts >= 0), 
	CONSTRAINT ck_commands_doubt_has_live_attempt CHECK (state NOT IN ('on_wire', 'in_doubt') OR live <> ''), 
	CONSTRAINT ck_commands_only_doubt_has_live_attempt CHECK (state IN ('on_wire', 'in_doubt', 'parked') OR live = ''), 
	CONSTRAINT ck_commands_attempt_signed CHECK ((attempts > 0) = (first_signed_ms IS NOT NULL)), 
	CONSTRAINT ck_commands_attempt_signed_last CHECK ((attempts > 0) = (last_signed_ms IS NOT NULL)), 
	CONSTRAINT ck_commands_attempt_has_epoch CHECK ((attempts > 0) = (epoch IS NOT NULL)), 
	CONSTRAINT fk_commands_order_key FOREIGN KEY(order_key) REFERENCES orders ("key")
)
 STRICT

;
INSERT INTO "commands" VALUES(1,1,1,'create','queued',0,'',0,NULL,NULL,NULL,0,NULL,NULL,NULL,1,X'C940A90AF8CF878238294D5F664C6CC3',1763800000000000,1763800000000000);
INSERT INTO "commands" VALUES(2,2,1,'create','on_wire',1,'1',0,1,1763800000000,1763800000000,0,NULL,NULL,NULL,2,X'70EF98B496F1BDA81CB968D4744C8448',1763800000000000,1763800000000001);
INSERT INTO "commands" VALUES(3,3,1,'create','in_doubt',1,'1',0,1,1763800000000,1763800000000,0,NULL,'no_answer','no_answer',3,X'FBB6106A91E5A6E99548E9B331DEFFC5',1763800000000000,1763800000000001);
INSERT INTO "commands" VALUES(4,4,1,'create','refused',1,'',0,1,1763800000000,1763800000000,0,NULL,'refused','invalid_price: no',4,X'71312CCF477AF490FD2E9AE2CE6D177E',1763800000000000,1763800000000001);
INSERT INTO "commands" VALUES(5,5,1,'create','queued',1,'',0,1,1763800000000,1763800000000,0,NULL,'waiting',NULL,5,X'26F9873907D92396C928BECCE26E72B9',1763800000000000,1763800000000001);
INSERT INTO "commands" VALUES(6,6,1,'create','queued',0,'',0,NULL,NULL,NULL,0,NULL,NULL,NULL,6,X'0732CF34A10DD5CB9B973151E5817932',1763800000000000,1763800000000000);
CREATE TABLE controls (
	name TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	at_us INTEGER NOT NULL, 
	CONSTRAINT pk_controls PRIMARY KEY (name), 
	CONSTRAINT ck_controls_name_known CHECK (name IN ('halt'))
)
 STRICT

;
CREATE TABLE epochs (
	epoch INTEGER NOT NULL, 
	opened_at_us INTEGER NOT NULL, 
	purpose TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	key_print TEXT, 
	CONSTRAINT pk_epochs PRIMARY KEY (epoch)
)
 STRICT

;
INSERT INTO "epochs" VALUES(1,1763800000000000,'submit',15115,NULL);
CREATE TABLE events (
	seq INTEGER NOT NULL, 
	order_key INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	command_key INTEGER, 
	epoch INTEGER, 
	at_us INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	data TEXT NOT NULL, 
	hash BLOB NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (seq), 
	CONSTRAINT ck_events_n_positive CHECK (n > 0), 
	CONSTRAINT uq_events_order_key_n UNIQUE (order_key, n), 
	CONSTRAINT fk_events_order_key FOREIGN KEY(order_key) REFERENCES orders ("key")
)
 STRICT

;
INSERT INTO "events" VALUES(1,1,1,1,NULL,1763800000000000,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXRAIN-A-T10\",\"client_order_id\":\"x-1\",\"side\":\"bid\",\"count\":\"1.00\",\"price\":\"0.0100\",\"time_in_force\":\"good_till_canceled\",\"self_trade_prevention_type\":\"taker_at_cross\"}","own_id":true}',X'1649BC6B1F4612F5648C4F8E58AB0641');
INSERT INTO "events" VALUES(2,2,1,2,NULL,1763800000000000,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXRAIN-A-T10\",\"client_order_id\":\"x-2\",\"side\":\"bid\",\"count\":\"1.00\",\"price\":\"0.0200\",\"time_in_force\":\"good_till_canceled\",\"self_trade_prevention_type\":\"taker_at_cross\"}","own_id":true}',X'2BA431B0582999CCC14CB9AB0AA4FBE9');
INSERT INTO "events" VALUES(3,3,1,3,NULL,1763800000000000,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXRAIN-A-T10\",\"client_order_id\":\"x-3\",\"side\":\"bid\",\"count\":\"1.00\",\"price\":\"0.0300\",\"time_in_force\":\"good_till_canceled\",\"self_trade_prevention_type\":\"taker_at_cross\"}","own_id":true}',X'5F0589FB38A22C8899EE28C647228D43');
INSERT INTO "events" VALUES(4,4,1,4,NULL,1763800000000000,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXRAIN-A-T10\",\"client_order_id\":\"x-4\",\"side\":\"bid\",\"count\":\"1.00\",\"price\":\"0.0400\",\"time_in_force\":\"good_till_canceled\",\"self_trade_prevention_type\":\"taker_at_cross\"}","own_id":true}',X'6BDE99FD27C23ECF84D6CF9C44E0D46E');
INSERT INTO "events" VALUES(5,5,1,5,NULL,1763800000000000,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXRAIN-A-T10\",\"client_order_id\":\"x-5\",\"side\":\"bid\",\"count\":\"1.00\",\"price\":\"0.0500\",\"time_in_force\":\"good_till_canceled\",\"self_trade_prevention_type\":\"taker_at_cross\"}","own_id":true}',X'11FB3B6544030BE41A404CDCA43FCADB');
INSERT INTO "events" VALUES(6,6,1,6,NULL,1763800000000000,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXRAIN-A-T10\",\"client_order_id\":\"x-6\",\"side\":\"bid\",\"count\":\"1.00\",\"price\":\"0.0600\",\"time_in_force\":\"good_till_canceled\",\"self_trade_prevention_type\":\"taker_at_cross\"}","own_id":true}',X'0B14A67E80DD6151E7CBE79A7008F10B');
INSERT INTO "events" VALUES(7,2,2,2,1,1763800000000001,'claimed','{"event":"claimed","attempt":1,"epoch":1,"signed_ms":1763800000000,"at_us":1763800000000000}',X'EB4EE7FDCEB99704C25B14359E263E74');
INSERT INTO "events" VALUES(8,3,2,3,1,1763800000000001,'claimed','{"event":"claimed","attempt":1,"epoch":1,"signed_ms":1763800000000,"at_us":1763800000000000}',X'79AAC21BAC2EF4B1B6DAA9DF17302361');
INSERT INTO "events" VALUES(9,4,2,4,1,1763800000000001,'claimed','{"event":"claimed","attempt":1,"epoch":1,"signed_ms":1763800000000,"at_us":1763800000000000}',X'38D097470419795C0E13F05625F6991F');
INSERT INTO "events" VALUES(10,5,2,5,1,1763800000000001,'claimed','{"event":"claimed","attempt":1,"epoch":1,"signed_ms":1763800000000,"at_us":1763800000000000}',X'2ED75A77B0DF26C21ADDBA327219EC18');
INSERT INTO "events" VALUES(11,3,3,3,1,1763800000000001,'attempt_unknown','{"event":"attempt_unknown","attempt":1,"why":"no_answer"}',X'D2693703ECFDEC1C2D2ACB87D917984C');
INSERT INTO "events" VALUES(12,4,3,4,1,1763800000000001,'attempt_refused','{"event":"attempt_refused","attempt":1,"http_status":400,"code":"invalid_price","message":"no"}',X'B45A9053AC76ECC1470273AB724C210A');
INSERT INTO "events" VALUES(13,5,3,5,1,1763800000000001,'attempt_unknown','{"event":"attempt_unknown","attempt":1,"why":"http_5xx","http_status":502}',X'6282251F0A9236EA5A9B6388D5C618FF');
INSERT INTO "events" VALUES(14,5,4,5,1,1763800000000001,'absence_proven','{"event":"absence_proven","as_of_ms":1763800070000,"fence_ms":1763800060000,"orders_seen":0,"witnesses":0,"final":false}',X'4FC46C98B230F793E9A3E2B5AF52D4A1');
INSERT INTO "events" VALUES(15,5,5,5,1,1763800000000001,'requeued','{"event":"requeued"}',X'7EA610D1EC74E70F85C5E541F7B18041');
CREATE TABLE fills (
	trade_id TEXT NOT NULL, 
	order_key INTEGER NOT NULL, 
	order_id TEXT NOT NULL, 
	ticker TEXT NOT NULL, 
	side TEXT NOT NULL, 
	count_e2 INTEGER NOT NULL, 
	price_e6 INTEGER NOT NULL, 
	fee_e6 INTEGER NOT NULL, 
	is_taker INTEGER NOT NULL, 
	ts_ms INTEGER NOT NULL, 
	CONSTRAINT pk_fills PRIMARY KEY (trade_id), 
	CONSTRAINT ck_fills_side_known CHECK (side IN ('bid', 'ask')), 
	CONSTRAINT ck_fills_is_taker_flag CHECK (is_taker IN (0, 1)), 
	CONSTRAINT ck_fills_count_positive CHECK (count_e2 > 0), 
	CONSTRAINT fk_fills_order_key FOREIGN KEY(order_key) REFERENCES orders ("key")
)
 STRICT

;
CREATE TABLE ledger (
	id INTEGER NOT NULL, 
	ledger_id TEXT NOT NULL, 
	environment TEXT NOT NULL, 
	host TEXT, 
	user_id TEXT, 
	epoch INTEGER NOT NULL, 
	created_at_us INTEGER NOT NULL, 
	CONSTRAINT pk_ledger PRIMARY KEY (id), 
	CONSTRAINT ck_ledger_single CHECK (id = 1), 
	CONSTRAINT ck_ledger_environment_known CHECK (environment IN ('sandbox', 'demo', 'prod'))
)
 STRICT

;
INSERT INTO "ledger" VALUES(1,'0756bee2-bfb7-46f7-899e-aa4c561de031','sandbox',NULL,NULL,1,1763800000000000);
CREATE TABLE orders (
	"key" INTEGER NOT NULL, 
	client_order_id TEXT NOT NULL, 
	batch_key INTEGER NOT NULL, 
	"row" INTEGER NOT NULL, 
	ticker TEXT NOT NULL, 
	side TEXT NOT NULL, 
	price_e6 INTEGER NOT NULL, 
	count_e2 INTEGER NOT NULL, 
	time_in_force TEXT NOT NULL, 
	self_trade_prevention_type TEXT NOT NULL, 
	post_only INTEGER NOT NULL, 
	reduce_only INTEGER NOT NULL, 
	expiration_time INTEGER, 
	subaccount INTEGER, 
	action TEXT NOT NULL, 
	outcome TEXT NOT NULL, 
	own_id INTEGER NOT NULL, 
	tag TEXT, 
	submit_before_us INTEGER, 
	row_digest BLOB NOT NULL, 
	created_at_us INTEGER NOT NULL, 
	status TEXT NOT NULL, 
	order_id TEXT, 
	fill_count_e2 INTEGER NOT NULL, 
	remaining_count_e2 INTEGER, 
	average_fill_price_e6 INTEGER, 
	fees_e6 INTEGER, 
	traded_count_e2 INTEGER NOT NULL, 
	traded_value_e8 INTEGER NOT NULL, 
	traded_fees_e6 INTEGER NOT NULL, 
	fact_ts_ms INTEGER NOT NULL, 
	created_ts_ms INTEGER, 
	late INTEGER NOT NULL, 
	reason TEXT, 
	detail TEXT, 
	sent_at_us INTEGER, 
	updated_at_us INTEGER NOT NULL, 
	event_count INTEGER NOT NULL, 
	chain_hash BLOB NOT NULL, 
	CONSTRAINT pk_orders PRIMARY KEY ("key"), 
	CONSTRAINT ck_orders_side_known CHECK (side IN ('bid', 'ask')), 
	CONSTRAINT ck_orders_time_in_force_known CHECK (time_in_force IN ('good_till_canceled', 'immediate_or_cancel', 'fill_or_kill')), 
	CONSTRAINT ck_orders_self_trade_prevention_type_known CHECK (self_trade_prevention_type IN ('taker_at_cross', 'maker')), 
	CONSTRAINT ck_orders_action_known CHECK (action IN ('buy', 'sell')), 
	CONSTRAINT ck_orders_outcome_known CHECK (outcome IN ('yes', 'no')), 
	CONSTRAINT ck_orders_status_known CHECK (status IN ('pending', 'resting', 'executed', 'canceled', 'rejected', 'unsent')), 
	CONSTRAINT ck_orders_reason_known CHECK (reason IN ('refused', 'id_consumed', 'expired', 'withdrawn', 'halted', 'proven_absent', 'cancel_requested', 'moot', 'no_effect', 'no_answer', 'sender_died', 'id_taken', 'conflict', 'waiting', 'resolved_by_hand')), 
	CONSTRAINT ck_orders_post_only_flag CHECK (post_only IN (0, 1)), 
	CONSTRAINT ck_orders_reduce_only_flag CHECK (reduce_only IN (0, 1)), 
	CONSTRAINT ck_orders_own_id_flag CHECK (own_id IN (0, 1)), 
	CONSTRAINT ck_orders_late_flag CHECK (late IN (0, 1)), 
	CONSTRAINT ck_orders_client_order_id_length CHECK (length(client_order_id) BETWEEN 1 AND 64), 
	CONSTRAINT ck_orders_price_inside CHECK (price_e6 > 0 AND price_e6 < 1000000), 
	CONSTRAINT ck_orders_count_positive CHECK (count_e2 > 0), 
	CONSTRAINT ck_orders_row_positive CHECK (row > 0), 
	CONSTRAINT ck_orders_fills_positive CHECK (fill_count_e2 >= 0 AND traded_count_e2 >= 0), 
	CONSTRAINT ck_orders_reduce_only_ioc CHECK (reduce_only = 0 OR time_in_force = 'immediate_or_cancel'), 
	CONSTRAINT ck_orders_order_id_exactly_when_at_exchange CHECK ((order_id IS NOT NULL) = (status IN ('resting', 'executed', 'canceled'))), 
	CONSTRAINT ck_orders_ended_has_reason CHECK (status NOT IN ('rejected', 'unsent') OR reason IS NOT NULL), 
	CONSTRAINT uq_orders_batch_key_row UNIQUE (batch_key, "row"), 
	CONSTRAINT uq_orders_client_order_id UNIQUE (client_order_id), 
	CONSTRAINT fk_orders_batch_key FOREIGN KEY(batch_key) REFERENCES batches ("key")
)
 STRICT

;
INSERT INTO "orders" VALUES(1,'x-1',1,1,'SBXRAIN-A-T10','bid',10000,100,'good_till_canceled','taker_at_cross',0,0,NULL,NULL,'buy','yes',1,NULL,NULL,X'A00768D2DBA9B946',1763800000000000,'pending',NULL,0,NULL,NULL,NULL,0,0,0,0,NULL,0,NULL,NULL,NULL,1763800000000000,1,X'1649BC6B1F4612F5648C4F8E58AB0641');
INSERT INTO "orders" VALUES(2,'x-2',1,2,'SBXRAIN-A-T10','bid',20000,100,'good_till_canceled','taker_at_cross',0,0,NULL,NULL,'buy','yes',1,NULL,NULL,X'C28DED82989E8464',1763800000000000,'pending',NULL,0,NULL,NULL,NULL,0,0,0,0,NULL,0,NULL,NULL,1763800000000000,1763800000000001,2,X'EB4EE7FDCEB99704C25B14359E263E74');
INSERT INTO "orders" VALUES(3,'x-3',1,3,'SBXRAIN-A-T10','bid',30000,100,'good_till_canceled','taker_at_cross',0,0,NULL,NULL,'buy','yes',1,NULL,NULL,X'1529879158E4DD65',1763800000000000,'pending',NULL,0,NULL,NULL,NULL,0,0,0,0,NULL,0,NULL,NULL,1763800000000000,1763800000000001,3,X'D2693703ECFDEC1C2D2ACB87D917984C');
INSERT INTO "orders" VALUES(4,'x-4',1,4,'SBXRAIN-A-T10','bid',40000,100,'good_till_canceled','taker_at_cross',0,0,NULL,NULL,'buy','yes',1,NULL,NULL,X'73CB10CEEB9F6F2C',1763800000000000,'rejected',NULL,0,NULL,NULL,NULL,0,0,0,0,NULL,0,'refused','invalid_price: no',1763800000000000,1763800000000001,3,X'B45A9053AC76ECC1470273AB724C210A');
INSERT INTO "orders" VALUES(5,'x-5',1,5,'SBXRAIN-A-T10','bid',50000,100,'good_till_canceled','taker_at_cross',0,0,NULL,NULL,'buy','yes',1,NULL,NULL,X'0D22CE16BD754376',1763800000000000,'pending',NULL,0,NULL,NULL,NULL,0,0,0,0,NULL,0,NULL,NULL,1763800000000000,1763800000000001,5,X'7EA610D1EC74E70F85C5E541F7B18041');
INSERT INTO "orders" VALUES(6,'x-6',1,6,'SBXRAIN-A-T10','bid',60000,100,'good_till_canceled','taker_at_cross',0,0,NULL,NULL,'buy','yes',1,NULL,NULL,X'C350897983980935',1763800000000000,'pending',NULL,0,NULL,NULL,NULL,0,0,0,0,NULL,0,NULL,NULL,NULL,1763800000000000,1,X'0B14A67E80DD6151E7CBE79A7008F10B');
CREATE TABLE positions (
	ticker TEXT NOT NULL, 
	subaccount INTEGER NOT NULL, 
	position_e2 INTEGER NOT NULL, 
	exposure_e6 INTEGER NOT NULL, 
	realized_pnl_e6 INTEGER NOT NULL, 
	fees_e6 INTEGER NOT NULL, 
	as_of_ms INTEGER NOT NULL, 
	CONSTRAINT pk_positions PRIMARY KEY (ticker, subaccount)
)
 STRICT

;
CREATE TABLE settlements (
	ticker TEXT NOT NULL, 
	settled_time TEXT NOT NULL, 
	result TEXT NOT NULL, 
	revenue_e6 INTEGER NOT NULL, 
	fee_e6 INTEGER NOT NULL, 
	as_of_ms INTEGER NOT NULL, 
	CONSTRAINT pk_settlements PRIMARY KEY (ticker, settled_time)
)
 STRICT

;
CREATE TABLE watermarks (
	name TEXT NOT NULL, 
	value_ms INTEGER NOT NULL, 
	at_us INTEGER NOT NULL, 
	CONSTRAINT pk_watermarks PRIMARY KEY (name)
)
 STRICT

;
CREATE INDEX ix_batches_recording ON batches ("key") WHERE state = 'recording';
CREATE UNIQUE INDEX ux_orders_order_id ON orders (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX ix_orders_untraded ON orders (created_ts_ms) WHERE traded_count_e2 < fill_count_e2;
CREATE INDEX ix_orders_resting ON orders ("key") WHERE status = 'resting';
CREATE INDEX ix_orders_created_ts_ms ON orders (created_ts_ms) WHERE created_ts_ms IS NOT NULL;
CREATE INDEX ix_commands_order_key ON commands (order_key);
CREATE INDEX ix_commands_unfinished ON commands (state, kind, batch_key, "key", not_before_us, expires_at_us) WHERE state IN ('queued', 'on_wire', 'in_doubt', 'parked');
CREATE INDEX ix_fills_order_key ON fills (order_key);
COMMIT;
