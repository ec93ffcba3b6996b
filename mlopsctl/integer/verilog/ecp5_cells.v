// What two blocks of an ECP5 do, as far as yosys uses them: yosys brings their ports, but not their behaviour.

`default_nettype none

// 18 by 18 bits, signed or not, without registers.
module MULT18X18D #(parameter GSR = "") (
        input wire A0, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17,
        input wire B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, B10, B11, B12, B13, B14, B15, B16, B17,
        input wire C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17,
        input wire SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
        output wire P0, P1, P2, P3, P4, P5, P6, P7, P8, P9, P10, P11, P12, P13, P14, P15, P16, P17, P18, P19, P20,
        P21, P22, P23, P24, P25, P26, P27, P28, P29, P30, P31, P32, P33, P34, P35
);
    wire [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
    wire [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
    wire signed [18:0] wide_a = {SIGNEDA & a[17], a};
    wire signed [18:0] wide_b = {SIGNEDB & b[17], b};
    wire signed [37:0] product = wide_a * wide_b;
    assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15,
    P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = product[35:0];
endmodule

// 1024 words of 18 bits, two bytes of nine each. A port sees words of 1, 2, 4, 9 or 18 bits; words of 36 bits are written through
// the pins of A and B, and read from both.
module DP16KD #(
    parameter DATA_WIDTH_A = 18, parameter DATA_WIDTH_B = 18,
    parameter WRITEMODE_A = "NORMAL", parameter WRITEMODE_B = "NORMAL",
    parameter REGMODE_A = "", parameter REGMODE_B = "", parameter RESETMODE = "", parameter ASYNC_RESET_RELEASE = "",
    parameter CSDECODE_A = "", parameter CSDECODE_B = "", parameter CLKAMUX = "", parameter CLKBMUX = "", parameter GSR = "",
    parameter [319:0] INITVAL_00 = 0, parameter [319:0] INITVAL_01 = 0, parameter [319:0] INITVAL_02 = 0,
    parameter [319:0] INITVAL_03 = 0, parameter [319:0] INITVAL_04 = 0, parameter [319:0] INITVAL_05 = 0,
    parameter [319:0] INITVAL_06 = 0, parameter [319:0] INITVAL_07 = 0, parameter [319:0] INITVAL_08 = 0,
    parameter [319:0] INITVAL_09 = 0, parameter [319:0] INITVAL_0A = 0, parameter [319:0] INITVAL_0B = 0,
    parameter [319:0] INITVAL_0C = 0, parameter [319:0] INITVAL_0D = 0, parameter [319:0] INITVAL_0E = 0,
    parameter [319:0] INITVAL_0F = 0, parameter [319:0] INITVAL_10 = 0, parameter [319:0] INITVAL_11 = 0,
    parameter [319:0] INITVAL_12 = 0, parameter [319:0] INITVAL_13 = 0, parameter [319:0] INITVAL_14 = 0,
    parameter [319:0] INITVAL_15 = 0, parameter [319:0] INITVAL_16 = 0, parameter [319:0] INITVAL_17 = 0,
    parameter [319:0] INITVAL_18 = 0, parameter [319:0] INITVAL_19 = 0, parameter [319:0] INITVAL_1A = 0,
    parameter [319:0] INITVAL_1B = 0, parameter [319:0] INITVAL_1C = 0, parameter [319:0] INITVAL_1D = 0,
    parameter [319:0] INITVAL_1E = 0, parameter [319:0] INITVAL_1F = 0, parameter [319:0] INITVAL_20 = 0,
    parameter [319:0] INITVAL_21 = 0, parameter [319:0] INITVAL_22 = 0, parameter [319:0] INITVAL_23 = 0,
    parameter [319:0] INITVAL_24 = 0, parameter [319:0] INITVAL_25 = 0, parameter [319:0] INITVAL_26 = 0,
    parameter [319:0] INITVAL_27 = 0, parameter [319:0] INITVAL_28 = 0, parameter [319:0] INITVAL_29 = 0,
    parameter [319:0] INITVAL_2A = 0, parameter [319:0] INITVAL_2B = 0, parameter [319:0] INITVAL_2C = 0,
    parameter [319:0] INITVAL_2D = 0, parameter [319:0] INITVAL_2E = 0, parameter [319:0] INITVAL_2F = 0,
    parameter [319:0] INITVAL_30 = 0, parameter [319:0] INITVAL_31 = 0, parameter [319:0] INITVAL_32 = 0,
    parameter [319:0] INITVAL_33 = 0, parameter [319:0] INITVAL_34 = 0, parameter [319:0] INITVAL_35 = 0,
    parameter [319:0] INITVAL_36 = 0, parameter [319:0] INITVAL_37 = 0, parameter [319:0] INITVAL_38 = 0,
    parameter [319:0] INITVAL_39 = 0, parameter [319:0] INITVAL_3A = 0, parameter [319:0] INITVAL_3B = 0,
    parameter [319:0] INITVAL_3C = 0, parameter [319:0] INITVAL_3D = 0, parameter [319:0] INITVAL_3E = 0,
    parameter [319:0] INITVAL_3F = 0
) (
        input wire CLKA, WEA, CEA, OCEA, RSTA, CSA0, CSA1, CSA2,
        input wire ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
        input wire DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12, DIA13, DIA14,
        DIA15, DIA16, DIA17,
        output wire DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12, DOA13, DOA14,
        DOA15, DOA16, DOA17,
        input wire CLKB, WEB, CEB, OCEB, RSTB, CSB0, CSB1, CSB2,
        input wire ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
        input wire DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8, DIB9, DIB10, DIB11, DIB12, DIB13, DIB14,
        DIB15, DIB16, DIB17,
        output wire DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12, DOB13, DOB14,
        DOB15, DOB16, DOB17
);
    reg [8:0] bytes [0:2047];
    localparam [64*320-1:0] INIT = {INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A,
    INITVAL_39, INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31,
    INITVAL_30, INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
    INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F,
    INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16,
    INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F, INITVAL_0E, INITVAL_0D,
    INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08, INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04,
    INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00};
    integer i;
    initial for (i = 0; i < 1024; i = i + 1) begin
        bytes[2 * i]     = INIT[320 * (i / 16) + 20 * (i % 16) +: 9];
        bytes[2 * i + 1] = INIT[320 * (i / 16) + 20 * (i % 16) + 9 +: 9];
    end

    function [35:0] seen(input integer width, input [13:0] at);
        reg [8:0] one;
        begin
            one = bytes[at[13:3]];
            case (width)
                1: seen = one[at[2:0]];
                2: seen = one[2 * at[2:1] +: 2];
                4: seen = one[4 * at[2] +: 4];
                9: seen = one;
                18: seen = {bytes[{at[13:4], 1'b1}], bytes[{at[13:4], 1'b0}]};
                default: seen = {bytes[{at[13:5], 2'd3}], bytes[{at[13:5], 2'd2}], bytes[{at[13:5], 2'd1}], bytes[{at[13:5], 2'd0}]};
            endcase
        end
    endfunction

    task put(input integer width, input [13:0] at, input [35:0] data);
        reg [8:0] one;
        begin
            one = bytes[at[13:3]];
            case (width)
                1: begin one[at[2:0]] = data[0]; bytes[at[13:3]] <= one; end
                2: begin one[2 * at[2:1] +: 2] = data[1:0]; bytes[at[13:3]] <= one; end
                4: begin one[4 * at[2] +: 4] = data[3:0]; bytes[at[13:3]] <= one; end
                9: bytes[at[13:3]] <= data[8:0];
                18: begin // the lowest addresses say which bytes
                    if (at[0]) bytes[{at[13:4], 1'b0}] <= data[8:0];
                    if (at[1]) bytes[{at[13:4], 1'b1}] <= data[17:9];
                end
                default: begin
                    if (at[0]) bytes[{at[13:5], 2'd0}] <= data[8:0];
                    if (at[1]) bytes[{at[13:5], 2'd1}] <= data[17:9];
                    if (at[2]) bytes[{at[13:5], 2'd2}] <= data[26:18];
                    if (at[3]) bytes[{at[13:5], 2'd3}] <= data[35:27];
                end
            endcase
        end
    endtask

    wire [13:0] at_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire [17:0] in_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
    DIA3, DIA2, DIA1, DIA0};
    wire [13:0] at_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
    wire [17:0] in_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
    DIB3, DIB2, DIB1, DIB0};
    reg [35:0] read_a, read_b;
    always @(posedge CLKA) if (CEA) begin
        if (!(WEA && WRITEMODE_A == "NORMAL")) read_a <= RSTA ? 36'd0 : seen(DATA_WIDTH_A, at_a);
        if (WEA) put(DATA_WIDTH_A, at_a, {in_b, in_a});
    end
    always @(posedge CLKB) if (CEB) begin
        if (!(WEB && WRITEMODE_B == "NORMAL")) read_b <= RSTB ? 36'd0 : seen(DATA_WIDTH_B, at_b);
        if (WEB) put(DATA_WIDTH_B, at_b, {18'd0, in_b});
    end
    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
    DOA1, DOA0} = DATA_WIDTH_B == 36 ? read_b[17:0] : read_a[17:0];
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
    DOB1, DOB0} = DATA_WIDTH_B == 36 ? read_b[35:18] : read_b[17:0];
endmodule

`default_nettype wire
