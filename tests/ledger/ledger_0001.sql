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
INSERT INTO "balances" VALUES(0,1199998447300,1220000,1795412049107);
CREATE TABLE batches (
	"key" INTEGER NOT NULL, 
	batch_key TEXT NOT NULL, 
	name TEXT, 
	source TEXT NOT NULL, 
	state TEXT NOT NULL, 
	content_digest BLOB NOT NULL, 
	row_count INTEGER NOT NULL, 
	created_at_us INTEGER NOT NULL, 
	retry_of TEXT, 
	CONSTRAINT pk_batches PRIMARY KEY ("key"), 
	CONSTRAINT ck_batches_retry_of_set CHECK ((source = 'retry') = (retry_of IS NOT NULL)), 
	CONSTRAINT ck_batches_source_known CHECK (source IN ('file', 'stdin', 'flags', 'api', 'retry')), 
	CONSTRAINT ck_batches_state_known CHECK (state IN ('recording', 'recorded')), 
	CONSTRAINT ck_batches_row_count_positive CHECK (row_count >= 0), 
	CONSTRAINT uq_batches_batch_key UNIQUE (batch_key)
)
 STRICT

;
INSERT INTO "batches" VALUES(1,'45f68814e367b9970a12caa21ed1272abe84848e48bdfa4ee505603b07f992d0','first','file','recorded',X'8CC8E5CCB193A18BC53675C6BEDEA881FE02A4996B756A7AE9BF5DF034B71425',5,1795412044229357,NULL);
INSERT INTO "batches" VALUES(2,'6479d21f1c5f4567f08b0bb063a2e03c733101351d3c508736fad5d804c7646d',NULL,'api','recorded',X'D5F23E557432FE0D7FF09263E9E4B3ABBE15BA893486C8C77E664D9654C7E469',1,1795412049642843,NULL);
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
	CONSTRAINT ck_commands_reason_known CHECK (reason IN ('refused', 'id_consumed', 'expired', 'withdrawn', 'retried', 'halted', 'proven_absent', 'cancel_requested', 'moot', 'no_effect', 'no_answer', 'sender_died', 'id_taken', 'conflict', 'waiting', 'resolved_by_hand')), 
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
INSERT INTO "commands" VALUES(1,1,1,'create','accepted',1,'',0,1,1795412046086,1795412046086,0,NULL,NULL,NULL,1,X'5E00F9412A9C42A05819BE8EE8EAA160',1795412044229357,1795412046129335);
INSERT INTO "commands" VALUES(2,2,1,'create','accepted',1,'',0,1,1795412046086,1795412046086,0,NULL,NULL,NULL,2,X'7C04E4F9DBD34B29D05DF7C76BF8504E',1795412044229357,1795412049100678);
INSERT INTO "commands" VALUES(3,3,1,'create','accepted',1,'',0,1,1795412046086,1795412046086,0,NULL,NULL,NULL,3,X'8392D0CBFDEA5BF6FB4130791E38DDFD',1795412044229357,1795412046129335);
INSERT INTO "commands" VALUES(4,4,1,'create','accepted',1,'',0,1,1795412046086,1795412046086,0,NULL,NULL,NULL,4,X'CCCDCD831831EB641EDFC4CFE06EBD1C',1795412044229357,1795412048143903);
INSERT INTO "commands" VALUES(5,5,1,'create','refused',1,'',0,1,1795412046086,1795412046086,0,NULL,'refused','market_not_found: market not found',5,X'A54E7061E743E6690C2363D2A32B0F74',1795412044229357,1795412046129335);
INSERT INTO "commands" VALUES(6,3,1,'cancel','accepted',1,'',0,2,1795412048166,1795412048166,0,NULL,NULL,NULL,16,X'E3B0C44298FC1C149AFBF4C8996FB924',1795412047580176,1795412048175143);
INSERT INTO "commands" VALUES(7,6,2,'create','accepted',1,'',0,4,1795412050173,1795412050173,0,NULL,NULL,NULL,22,X'3106C6BE679BFD6981A3924FD28A67C6',1795412049642843,1795412050188455);
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
INSERT INTO "epochs" VALUES(1,1795412045921587,'submit',3936,'41ef42aa9581');
INSERT INTO "epochs" VALUES(2,1795412048089669,'cancel',4001,'41ef42aa9581');
INSERT INTO "epochs" VALUES(3,1795412049043164,'reconcile',4015,'41ef42aa9581');
INSERT INTO "epochs" VALUES(4,1795412050129027,'submit',4018,'41ef42aa9581');
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
INSERT INTO "events" VALUES(1,1,1,1,NULL,1795412044229357,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXRAIN-A-T10\",\"client_order_id\":\"6f6d45f6-8814-8e36-9ee4-0000018f5dbb\",\"side\":\"bid\",\"count\":\"2.00\",\"price\":\"0.0100\",\"time_in_force\":\"good_till_canceled\",\"self_trade_prevention_type\":\"taker_at_cross\"}"}',X'5EB01CCFDEDB5EF1E6A13ECCC92FB18D');
INSERT INTO "events" VALUES(2,2,1,2,NULL,1795412044229357,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXRAIN-A-T10\",\"client_order_id\":\"6f6d45f6-8814-8e36-9ee4-0000026fda94\",\"side\":\"bid\",\"count\":\"2.00\",\"price\":\"0.9900\",\"time_in_force\":\"immediate_or_cancel\",\"self_trade_prevention_type\":\"taker_at_cross\"}"}',X'3B8E22B318517F2D40B42111A7A216D4');
INSERT INTO "events" VALUES(3,3,1,3,NULL,1795412044229357,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXRAIN-A-T10\",\"client_order_id\":\"6f6d45f6-8814-8e36-9ee4-000003aa0513\",\"side\":\"bid\",\"count\":\"4.00\",\"price\":\"0.0200\",\"time_in_force\":\"good_till_canceled\",\"self_trade_prevention_type\":\"taker_at_cross\"}"}',X'285B959287B05BD6479EFF8D0B143B76');
INSERT INTO "events" VALUES(4,4,1,4,NULL,1795412044229357,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXRAIN-A-T10\",\"client_order_id\":\"6f6d45f6-8814-8e36-9ee4-000004903633\",\"side\":\"bid\",\"count\":\"5.00\",\"price\":\"0.0300\",\"time_in_force\":\"good_till_canceled\",\"self_trade_prevention_type\":\"taker_at_cross\"}","tag":"amended"}',X'1EC4B4FC5A68982B4A87FC8A4ADAC230');
INSERT INTO "events" VALUES(5,5,1,5,NULL,1795412044229357,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXNONE-A-T10\",\"client_order_id\":\"6f6d45f6-8814-8e36-9ee4-000005332bf1\",\"side\":\"bid\",\"count\":\"5.00\",\"price\":\"0.0300\",\"time_in_force\":\"good_till_canceled\",\"self_trade_prevention_type\":\"taker_at_cross\"}"}',X'961C4BA339A8309613DAB1011B45C90D');
INSERT INTO "events" VALUES(6,1,2,1,1,1795412046086775,'claimed','{"event":"claimed","attempt":1,"epoch":1,"signed_ms":1795412046086,"at_us":1795412046086775}',X'80075F1DACF300E7700659161CC247FD');
INSERT INTO "events" VALUES(7,2,2,2,1,1795412046086775,'claimed','{"event":"claimed","attempt":1,"epoch":1,"signed_ms":1795412046086,"at_us":1795412046086775}',X'982E4C7193535D77C9665EDF52BEB300');
INSERT INTO "events" VALUES(8,3,2,3,1,1795412046086775,'claimed','{"event":"claimed","attempt":1,"epoch":1,"signed_ms":1795412046086,"at_us":1795412046086775}',X'4579FD7CA035143354F4BF47D2A9A83F');
INSERT INTO "events" VALUES(9,4,2,4,1,1795412046086775,'claimed','{"event":"claimed","attempt":1,"epoch":1,"signed_ms":1795412046086,"at_us":1795412046086775}',X'5675AB3575159BF29EDA238AD1B823C2');
INSERT INTO "events" VALUES(10,5,2,5,1,1795412046086775,'claimed','{"event":"claimed","attempt":1,"epoch":1,"signed_ms":1795412046086,"at_us":1795412046086775}',X'E7AE42499312D74663DCF04601D8CA5D');
INSERT INTO "events" VALUES(11,1,3,1,1,1795412046129335,'acknowledged','{"event":"acknowledged","attempt":1,"order_id":"f655dd99-554a-49fc-b94e-3569820e7fe1","fill_count_e2":0,"remaining_count_e2":200,"ts_ms":1795412046101}',X'0E7F871F9E1E377EEF9409D701B4B01B');
INSERT INTO "events" VALUES(12,2,3,2,1,1795412046129335,'acknowledged','{"event":"acknowledged","attempt":1,"order_id":"d128e96b-5f01-45b1-8b0a-6971c89fa5e5","fill_count_e2":200,"remaining_count_e2":0,"ts_ms":1795412046103,"average_fill_price_e6":630000,"average_fee_paid_e6":16400}',X'6AACE37305FA07B071E810F2B564037F');
INSERT INTO "events" VALUES(13,3,3,3,1,1795412046129335,'acknowledged','{"event":"acknowledged","attempt":1,"order_id":"2302aaf5-ed27-471a-b58f-fea8c2b8c2ce","fill_count_e2":0,"remaining_count_e2":400,"ts_ms":1795412046114}',X'19561A1C6BD5DCC3216E989BD85B8D16');
INSERT INTO "events" VALUES(14,5,3,5,1,1795412046129335,'attempt_refused','{"event":"attempt_refused","attempt":1,"http_status":404,"code":"market_not_found","message":"market not found"}',X'3F508DC99545C1E778BE7ED445B351B4');
INSERT INTO "events" VALUES(15,4,3,4,1,1795412046133142,'acknowledged','{"event":"acknowledged","attempt":1,"order_id":"709081a2-2e91-42e1-b945-b75dd52f307b","fill_count_e2":0,"remaining_count_e2":500,"ts_ms":1795412046131}',X'9314DAF3F4E8C12546C4FDB40C545F0F');
INSERT INTO "events" VALUES(16,3,4,6,NULL,1795412047580176,'recorded','{"event":"recorded","kind":"cancel"}',X'F6C8190F4C02DD06C239B96A704A9BFA');
INSERT INTO "events" VALUES(17,4,4,NULL,2,1795412048143903,'observed','{"event":"observed","source":"orders","as_of_ms":1795412048133,"order":{"order_id":"709081a2-2e91-42e1-b945-b75dd52f307b","client_order_id":"6f6d45f6-8814-8e36-9ee4-000004903633","ticker":"SBXRAIN-A-T10","side":"bid","status":"resting","price_e6":40000,"initial_count_e2":600,"fill_count_e2":0,"remaining_count_e2":600,"created_ts_ms":1795412046131,"updated_ts_ms":1795412046998,"subaccount":0,"user_id":"635c57c6-b072-4928-b725-f89ab5bb83a1"}}',X'51B741100321572C144CD6D521C62CC6');
INSERT INTO "events" VALUES(18,2,4,NULL,2,1795412048143903,'observed','{"event":"observed","source":"orders","as_of_ms":1795412048133,"order":{"order_id":"d128e96b-5f01-45b1-8b0a-6971c89fa5e5","client_order_id":"6f6d45f6-8814-8e36-9ee4-0000026fda94","ticker":"SBXRAIN-A-T10","side":"bid","status":"executed","price_e6":990000,"initial_count_e2":200,"fill_count_e2":200,"remaining_count_e2":0,"fees_e6":32700,"fill_cost_e6":1260000,"created_ts_ms":1795412046103,"updated_ts_ms":1795412046103,"subaccount":0,"user_id":"635c57c6-b072-4928-b725-f89ab5bb83a1"}}',X'922ECB095F34A0394AB83D0E2F066DDA');
INSERT INTO "events" VALUES(19,3,5,6,2,1795412048165988,'claimed','{"event":"claimed","attempt":1,"epoch":2,"signed_ms":1795412048166,"at_us":1795412048165988}',X'479EA25C1850167F28E123EE6867983D');
INSERT INTO "events" VALUES(20,3,6,6,2,1795412048175143,'cancel_acknowledged','{"event":"cancel_acknowledged","attempt":1,"order_id":"2302aaf5-ed27-471a-b58f-fea8c2b8c2ce","reduced_by_e2":400,"ts_ms":1795412048173}',X'EBDE5251CC6837ECB5EE5F1B8961F961');
INSERT INTO "events" VALUES(21,2,5,NULL,3,1795412049100678,'filled','{"event":"filled","trade_id":"47b121ee-5d1d-4c02-a55b-434b3f0d86df","count_e2":200,"price_e6":630000,"fee_e6":32700,"is_taker":true,"ts_ms":1795412046103}',X'37A4E038E55C83221ECEFA4A88B8CAE8');
INSERT INTO "events" VALUES(22,6,1,7,NULL,1795412049642843,'recorded','{"event":"recorded","kind":"create","body":"{\"ticker\":\"SBXRAIN-A-T10\",\"client_order_id\":\"6f6d6479-d21f-81c5-bd14-00000104a97a\",\"side\":\"bid\",\"count\":\"1.00\",\"price\":\"0.0100\",\"time_in_force\":\"good_till_canceled\",\"self_trade_prevention_type\":\"taker_at_cross\"}"}',X'1C46D220A99EE7774676C7C093A0C091');
INSERT INTO "events" VALUES(23,6,2,7,4,1795412050173678,'claimed','{"event":"claimed","attempt":1,"epoch":4,"signed_ms":1795412050173,"at_us":1795412050173678}',X'E605361C4557229475A8F824E671C5A7');
INSERT INTO "events" VALUES(24,6,3,7,4,1795412050188455,'acknowledged','{"event":"acknowledged","attempt":1,"order_id":"82c73aad-073a-40cc-837a-4addd9d4c86c","fill_count_e2":0,"remaining_count_e2":100,"ts_ms":1795412050186}',X'C6B17401348BC9EB20AB6B503D9D637A');
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
INSERT INTO "fills" VALUES('47b121ee-5d1d-4c02-a55b-434b3f0d86df',2,'d128e96b-5f01-45b1-8b0a-6971c89fa5e5','SBXRAIN-A-T10','bid',200,630000,32700,1,1795412046103);
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
INSERT INTO "ledger" VALUES(1,'bf803eb6-7efb-47e6-ba70-81b51aefc6fa','sandbox','127.0.0.1','635c57c6-b072-4928-b725-f89ab5bb83a1',4,1795412044137654);
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
	CONSTRAINT ck_orders_reason_known CHECK (reason IN ('refused', 'id_consumed', 'expired', 'withdrawn', 'retried', 'halted', 'proven_absent', 'cancel_requested', 'moot', 'no_effect', 'no_answer', 'sender_died', 'id_taken', 'conflict', 'waiting', 'resolved_by_hand')), 
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
INSERT INTO "orders" VALUES(1,'6f6d45f6-8814-8e36-9ee4-0000018f5dbb',1,1,'SBXRAIN-A-T10','bid',10000,200,'good_till_canceled','taker_at_cross',0,0,NULL,NULL,'buy','yes',0,NULL,NULL,X'0A9A72E8CB48C7D6',1795412044229357,'resting','f655dd99-554a-49fc-b94e-3569820e7fe1',0,200,NULL,0,0,0,0,1795412046101,1795412046101,0,NULL,NULL,1795412046086775,1795412046129335,3,X'0E7F871F9E1E377EEF9409D701B4B01B');
INSERT INTO "orders" VALUES(2,'6f6d45f6-8814-8e36-9ee4-0000026fda94',1,2,'SBXRAIN-A-T10','bid',990000,200,'immediate_or_cancel','taker_at_cross',0,0,NULL,NULL,'buy','yes',0,NULL,NULL,X'91542FB1EAA2CC3F',1795412044229357,'executed','d128e96b-5f01-45b1-8b0a-6971c89fa5e5',200,0,630000,32700,200,126000000,32700,1795412046103,1795412046103,0,NULL,NULL,1795412046086775,1795412049100678,5,X'37A4E038E55C83221ECEFA4A88B8CAE8');
INSERT INTO "orders" VALUES(3,'6f6d45f6-8814-8e36-9ee4-000003aa0513',1,3,'SBXRAIN-A-T10','bid',20000,400,'good_till_canceled','taker_at_cross',0,0,NULL,NULL,'buy','yes',0,NULL,NULL,X'9167E992CDE34D9C',1795412044229357,'canceled','2302aaf5-ed27-471a-b58f-fea8c2b8c2ce',0,0,NULL,0,0,0,0,1795412048173,1795412046114,0,NULL,NULL,1795412046086775,1795412048175143,6,X'EBDE5251CC6837ECB5EE5F1B8961F961');
INSERT INTO "orders" VALUES(4,'6f6d45f6-8814-8e36-9ee4-000004903633',1,4,'SBXRAIN-A-T10','bid',30000,500,'good_till_canceled','taker_at_cross',0,0,NULL,NULL,'buy','yes',0,'amended',NULL,X'87069F4F657B3708',1795412044229357,'resting','709081a2-2e91-42e1-b945-b75dd52f307b',0,600,NULL,0,0,0,0,1795412046998,1795412046131,0,NULL,NULL,1795412046086775,1795412048143903,4,X'51B741100321572C144CD6D521C62CC6');
INSERT INTO "orders" VALUES(5,'6f6d45f6-8814-8e36-9ee4-000005332bf1',1,5,'SBXNONE-A-T10','bid',30000,500,'good_till_canceled','taker_at_cross',0,0,NULL,NULL,'buy','yes',0,NULL,NULL,X'45D52BED7D3EFC3C',1795412044229357,'rejected',NULL,0,NULL,NULL,NULL,0,0,0,0,NULL,0,'refused','market_not_found: market not found',1795412046086775,1795412046129335,3,X'3F508DC99545C1E778BE7ED445B351B4');
INSERT INTO "orders" VALUES(6,'6f6d6479-d21f-81c5-bd14-00000104a97a',2,1,'SBXRAIN-A-T10','bid',10000,100,'good_till_canceled','taker_at_cross',0,0,NULL,NULL,'buy','yes',0,NULL,NULL,X'834C9E082A5E13B6',1795412049642843,'resting','82c73aad-073a-40cc-837a-4addd9d4c86c',0,100,NULL,0,0,0,0,1795412050186,1795412050186,0,NULL,NULL,1795412050173678,1795412050188455,3,X'C6B17401348BC9EB20AB6B503D9D637A');
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
INSERT INTO "positions" VALUES('SBXRAIN-A-T10',0,200,1260000,0,32700,1795412049107);
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
CREATE TABLE strangers (
	client_order_id TEXT NOT NULL, 
	batch_head TEXT, 
	order_id TEXT NOT NULL, 
	created_ts_ms INTEGER NOT NULL, 
	stands_for TEXT, 
	CONSTRAINT pk_strangers PRIMARY KEY (client_order_id)
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
INSERT INTO "watermarks" VALUES('fills_read',1795412049088,1795412049105258);
INSERT INTO "watermarks" VALUES('set_back',0,0);
CREATE INDEX ix_batches_recording ON batches ("key") WHERE state = 'recording';
CREATE INDEX ix_strangers_batch_head ON strangers (batch_head);
CREATE INDEX ix_orders_untraded ON orders (created_ts_ms) WHERE traded_count_e2 < fill_count_e2;
CREATE UNIQUE INDEX ux_orders_order_id ON orders (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX ix_orders_created_ts_ms ON orders (created_ts_ms) WHERE created_ts_ms IS NOT NULL;
CREATE INDEX ix_orders_resting ON orders ("key") WHERE status = 'resting';
CREATE INDEX ix_commands_order_key ON commands (order_key);
CREATE INDEX ix_commands_unfinished ON commands (state, kind, batch_key, "key", not_before_us, expires_at_us) WHERE state IN ('queued', 'on_wire', 'in_doubt', 'parked');
CREATE INDEX ix_fills_order_key ON fills (order_key);
COMMIT;